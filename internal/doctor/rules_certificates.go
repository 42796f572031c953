package doctor

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// Certificates are usually renewed a month before they expire, and a week is enough to do it by
// hand. Certificates that programs renew have shorter lives, and are renewed after two thirds of
// them.
const (
	certificateWarning = 30 * 24 * time.Hour
	certificateProblem = 7 * 24 * time.Hour
	warningShare       = 3
	problemShare       = 12
)

// judgeCertificate returns 0 if a certificate is valid for long enough.
func judgeCertificate(now time.Time, c *x509.Certificate) Severity {
	if c == nil {
		return 0
	}
	left, life := c.NotAfter.Sub(now), c.NotAfter.Sub(c.NotBefore)
	switch {
	case left <= min(certificateProblem, life/problemShare):
		return Problem
	case left <= min(certificateWarning, life/warningShare):
		return Warning
	}
	return 0
}

// certificates: those that expire soon. Once they have expired, no new connection works.
func certificates(f *Facts) (list []Finding) {
	const members = "replace what --cert-file and --key-file of the member name; it reads them again for each new " +
		"connection"
	for severity, judge := range map[Severity]func(rule, do, what string,
		args ...any) Finding{Problem: problem, Warning: warning} {
		var names, ends []string
		for _, m := range f.Members {
			if a, _ := m.status(); a != nil && judgeCertificate(f.Now, a.Certificate) == severity {
				names = append(names, m.title())
				ends = append(ends, fmt.Sprintf("%s: %s", m.title(), until(f.Now, a.Certificate.NotAfter)))
			}
		}
		if len(names) > 0 {
			list = append(
				list,
				judge("certificate", members, "certificates of members end soon (%s)", strings.Join(ends, "; ")).
					of(names...).run("endpoint health --cluster"),
			)
		}
		if judgeCertificate(f.Now, f.OwnCertificate) == severity {
			list = append(
				list,
				judge("own-certificate", "replace the files of --cert and --key; programs that run read them again",
					"the certificate that this client shows ends soon (%s)", until(f.Now, f.OwnCertificate.NotAfter)).
					run("endpoint health --cluster"),
			)
		}
	}
	return list
}

// until says when something ends, and in how much time that is.
func until(now, end time.Time) string {
	left := end.Sub(now)
	day := end.UTC().Format(time.DateTime) + " UTC"
	switch {
	case left <= 0:
		return day + ", which is over"
	case left < 48*time.Hour:
		return fmt.Sprintf("%s, in %d hours", day, int(left.Hours()))
	}
	return fmt.Sprintf("%s, in %d days", day, int(left.Hours()/24))
}
