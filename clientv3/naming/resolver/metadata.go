package resolver

import (
	"fmt"
	"reflect"

	"google.golang.org/grpc/attributes"
)

// Metadata returns the metadata of an endpoint's record, as package endpoints describes them. It
// takes the attributes of a resolver.Address or a resolver.Endpoint, which balancers get, or of a
// credentials.ClientHandshakeInfo. It returns nil without metadata, for attributes of other
// resolvers and for nil. Do not modify the result.
func Metadata(a *attributes.Attributes) any {
	m, _ := a.Value(metadataKey{}).(metadata)
	return m.value
}

type metadataKey struct{}

// metadata has an Equal for any JSON value: gRPC compares attributes without one by ==, which
// panics for maps and slices.
type metadata struct{ value any }

func (m metadata) Equal(o any) bool {
	other, ok := o.(metadata)
	return ok && reflect.DeepEqual(m.value, other.value)
}

func (m metadata) String() string { return fmt.Sprint(m.value) }
