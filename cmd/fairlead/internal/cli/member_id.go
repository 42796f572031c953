package cli

import (
	"fmt"
	"strconv"
)

// parseMember reads a member's id as the member list shows it.
func parseMember(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, usageError{fmt.Errorf("%q is no member: an id in hexadecimal is expected, as \"member list\" shows it", s)}
	}
	return id, nil
}
