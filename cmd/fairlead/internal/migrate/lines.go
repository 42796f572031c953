package migrate

import "bytes"

// crlf reports whether all lines of a file end as on Windows.
func crlf(text []byte) bool {
	n := bytes.Count(text, []byte("\n"))
	return n > 0 && bytes.Count(text, []byte("\r\n")) == n
}

// lf makes all lines end with a line feed alone, as the go command and gofmt do.
func lf(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) }

// asBefore gives text, whose lines end with a line feed alone, the line ends of old.
func asBefore(old, text []byte) []byte {
	if !crlf(old) {
		return text
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
}
