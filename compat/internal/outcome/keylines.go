package outcome

import (
	"regexp"
	"strings"
)

const (
	maxKeyLines  = 12
	maxKeyLength = 300
)

var (
	// said matches what a test says: file, line and words. Loggers that write to the test look alike but for the file.
	said   = regexp.MustCompile(`^\s+(\S+\.go):\d+: (.*)`)
	logger = regexp.MustCompile(`logger\.go$|^\s+\S+\.go:\d+:\s+\S+\s+(DEBUG|INFO|WARN|ERROR)\s|\t(DEBUG|INFO|WARN|ERROR)\t`)
	// assertion matches the parts of testify's messages; panics and races speak for themselves.
	assertion = regexp.MustCompile(`^\s+(Error|Error Trace|Messages|expected|actual|Expected|Actual)\s*:|^panic: |^fatal error: |^WARNING: DATA RACE|^(FAIL|---) |^\S+\.go:\d+:\d+: |^got:|^want:|[Uu]nexpected |leak`)
)

// KeyLines returns the few lines of a test's output that say why it ended as it did.
func KeyLines(output string) string {
	var keep []string
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, " \t\r\n")
		if m := said.FindStringSubmatch(line); m != nil && (logger.MatchString(m[1]) || logger.MatchString(line)) {
			continue
		} else if m == nil && (!assertion.MatchString(line) || logger.MatchString(line) || strings.HasPrefix(line, "{")) {
			continue
		}
		if line = strings.TrimSpace(line); len(line) > maxKeyLength {
			line = line[:maxKeyLength] + "..."
		}
		if n := len(keep); n == 0 || keep[n-1] != line {
			keep = append(keep, line)
		}
	}
	return strings.Join(keep[max(0, len(keep)-maxKeyLines):], "\n")
}
