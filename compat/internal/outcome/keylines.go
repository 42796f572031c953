package outcome

import (
	"regexp"
	"strings"
)

const (
	maxKeyLines  = 12
	maxKeyLength = 400
	// followLines is how many lines are kept after the first one of a longer message.
	followLines = 3
)

var (
	// said matches lines with a file and a line number, which a test or its helpers write.
	said = regexp.MustCompile(`^\s+(\S+\.go):\d+: (.*)`)
	// logged matches lines of loggers, some of which write through the test.
	logged = regexp.MustCompile(`^\s+logger\.go:|\b(DEBUG|INFO|WARN|ERROR)\b|^[{ ]`)
	// loud matches lines that show by themselves that something went wrong.
	loud = regexp.MustCompile(
		`^panic: |^fatal error: |^SIGQUIT|DATA RACE|^\S+\.go:\d+:\d+: |^go: |[Uu]nexpected goroutine|\bleak`,
	)
	// opens matches the parts of testify's messages that continue on the next lines.
	opens = regexp.MustCompile(`^\s+(Error|Messages|expected|actual):`)
)

// KeyLines returns the few lines of a test's output that show why it ended as it did: the lines of
// its own file and the loud ones, or else the lines of other files.
func KeyLines(output string) string {
	var own, other []string
	follow := 0
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, " \t\r\n")
		m := said.FindStringSubmatch(line)
		switch {
		case m != nil && logged.MatchString(strings.TrimLeft(line, " ")):
			follow = 0
		case m != nil && strings.HasSuffix(m[1], "_test.go"):
			own, follow = keep(own, line), followLines
		case m != nil:
			other, follow = keep(other, line), 0
		case opens.MatchString(line):
			own, follow = keep(own, line), followLines
		case loud.MatchString(line):
			own, follow = keep(own, line), 0
		case follow > 0 && strings.HasPrefix(line, "     ") && !logged.MatchString(strings.TrimSpace(line)):
			own = keep(own, line)
			follow--
		default:
			follow = 0
		}
	}
	if len(own) == 0 {
		own = other
	}
	return strings.Join(own[max(0, len(own)-maxKeyLines):], "\n")
}

func keep(lines []string, line string) []string {
	if line = strings.TrimSpace(line); len(line) > maxKeyLength {
		line = line[:maxKeyLength] + "..."
	}
	if line == "" || len(lines) > 0 && lines[len(lines)-1] == line {
		return lines
	}
	return append(lines, line)
}
