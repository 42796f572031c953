package nameserver

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const (
	// encoded begins labels that spell a name in hyphens and hexadecimal digits. They consist of
	// letters, digits and hyphens, which every program accepts as a host name.
	encoded = "x--"
	// atAddress begins labels that stand for an address.
	atAddress = "ip-"
	// protocol is not a service, see look.
	protocol = "_tcp"
	// maxLabel is RFC 1035's limit, in bytes.
	maxLabel = 63
)

// Label returns a service's name as DNS writes it; false if it does not fit into a label.
func Label(name string) (string, bool) {
	plain := name != "" && !strings.HasPrefix(name, encoded) && name != protocol
	var b strings.Builder
	b.WriteString(encoded)
	for i := range len(name) {
		c := name[i]
		plain = plain && (isAlnum(c) || c == '-' || c == '_')
		if isAlnum(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('-')
			b.WriteString(hex.EncodeToString([]byte{c}))
		}
	}
	if plain {
		return name, len(name) <= maxLabel
	}
	return b.String(), name != "" && b.Len() <= maxLabel
}

func isAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// name returns what a label stands for; false if no name is written like that.
func name(label string) (string, bool) {
	b, ok := appendName(nil, []byte(lower(label)))
	return string(b), ok
}

// appendName appends what a label in lower case stands for; false if no name is written like that.
func appendName(to, label []byte) ([]byte, bool) {
	if len(label) < len(encoded) || string(label[:len(encoded)]) != encoded {
		return append(to, label...), true
	}
	rest := label[len(encoded):]
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if isAlnum(c) {
			to = append(to, c)
			continue
		}
		var one [1]byte
		if c != '-' || i+2 >= len(rest) {
			return nil, false
		}
		if _, err := hex.Decode(one[:], rest[i+1:i+3]); err != nil {
			return nil, false
		}
		to = append(to, one[0])
		i += 2
	}
	return to, len(rest) > 0
}

// lower converts ASCII letters to lower case, and no others: RFC 4343, section 3. Bytes that are
// not UTF-8 stay unchanged.
func lower(s string) string {
	b := []byte(s)
	toLower(b)
	return string(b)
}

func toLower(b []byte) {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}

// addressLabel returns the label of an address, which unlike an address's text has letters, digits
// and hyphens only.
func addressLabel(a netip.Addr) string { return string(appendAddressLabel(nil, a)) }

func appendAddressLabel(to []byte, a netip.Addr) []byte {
	to = append(to, atAddress...)
	if a.Is4() {
		for i, n := range a.As4() {
			if i > 0 {
				to = append(to, '-')
			}
			to = strconv.AppendUint(to, uint64(n), 10)
		}
		return to
	}
	b := a.As16()
	for i := 0; i < len(b); i += 2 {
		if i > 0 {
			to = append(to, '-')
		}
		to = strconv.AppendUint(to, uint64(binary.BigEndian.Uint16(b[i:])), 16)
	}
	return to
}

// labelAddress is the reverse of addressLabel.
func labelAddress(label string) (netip.Addr, bool) {
	rest, ok := strings.CutPrefix(lower(label), atAddress)
	if !ok {
		return netip.Addr{}, false
	}
	separator := "."
	if strings.Count(rest, "-") == 7 {
		separator = ":"
	}
	a, err := netip.ParseAddr(strings.ReplaceAll(rest, "-", separator))
	return a, err == nil && addressLabel(a) == lower(label) // so that an address has only one name
}

// split returns the labels of a name in presentation format, without its escapes, and where
// each begins.
func split(name string) (labels []string, starts []int) {
	starts = dns.Split(name)
	for i, from := range starts {
		to := len(name)
		if i+1 < len(starts) {
			to = starts[i+1]
		}
		labels = append(labels, unescape(strings.TrimSuffix(name[from:to], ".")))
	}
	return labels, starts
}

// unescape resolves \DDD and \X: RFC 1035, section 5.1. The names come from a packed
// message, so all escapes are whole.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	var b []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b = append(b, s[i])
		case i+3 < len(s) && digit(s[i+1]) && digit(s[i+2]) && digit(s[i+3]):
			b = append(b, (s[i+1]-'0')*100+(s[i+2]-'0')*10+s[i+3]-'0')
			i += 3
		default:
			i++
			b = append(b, s[i])
		}
	}
	return string(b)
}
