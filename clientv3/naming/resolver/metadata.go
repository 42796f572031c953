package resolver

import (
	"fmt"
	"reflect"

	"google.golang.org/grpc/attributes"
)

// Metadata returns the metadata of an endpoint's record, as package endpoints describes
// them, from the attributes of its resolver.Address or resolver.Endpoint, which balancers
// see, or of a credentials.ClientHandshakeInfo. It is nil without metadata, for attributes
// from elsewhere and for nil. It must not be modified.
func Metadata(a *attributes.Attributes) any {
	m, _ := a.Value(metadataKey{}).(metadata)
	return m.value
}

type metadataKey struct{}

// metadata can be compared, whatever JSON has put into it: gRPC compares attributes, with
// == if they have no Equal, which panics for maps and slices.
type metadata struct{ value any }

func (m metadata) Equal(o any) bool {
	other, ok := o.(metadata)
	return ok && reflect.DeepEqual(m.value, other.value)
}

func (m metadata) String() string { return fmt.Sprint(m.value) }
