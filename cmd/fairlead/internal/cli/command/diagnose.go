package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
)

// IsUnreachable reports whether an error means that no endpoint could be used in time.
func IsUnreachable(err error) bool {
	var known UnreachableError
	return err != nil &&
		(errors.As(err, &known) || errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.Unavailable)
}

// Explain turns an error of the client into one for the user. If the cluster could not be reached,
// it names the endpoints that were tried and why each failed.
func (a *App) Explain(ctx context.Context, client *clientv3.Client, err error) error {
	var known UnreachableError
	if !IsUnreachable(err) || errors.As(err, &known) {
		return err
	}
	var detailed *clientv3.Error // it names the endpoints itself
	if errors.As(err, &detailed) {
		return UnreachableError{Cause: err}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v: %w", a.Conn.CommandTimeout, err)
	}
	return UnreachableError{Cause: err, details: a.endpointStates(client)}
}

// endpointStates describes the known state of each endpoint, on a line of its own.
func (a *App) endpointStates(client *clientv3.Client) string {
	if client == nil {
		return "\n  endpoints: " + strings.Join(a.Conn.Endpoints, ", ")
	}
	var s strings.Builder
	for _, m := range client.MemberStates() {
		fmt.Fprintf(&s, "\n  %s is %s", m.Endpoint, m.State)
		if m.LastErr != nil {
			fmt.Fprintf(&s, ": %v", m.LastErr)
		}
	}
	return s.String()
}
