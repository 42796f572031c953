package cluster

import (
	"fmt"
	"strconv"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// parseMember reads a member's id as the member list shows it.
func parseMember(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, command.Usage(
			fmt.Errorf("%q is no member: an id in hexadecimal is expected, as \"member list\" shows it", s),
		)
	}
	return id, nil
}
