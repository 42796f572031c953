package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// unseen reports what could not be read, unless another rule has the reason.
func unseen(f *Facts) (list []Finding) {
	var names, why []string
	for _, m := range f.Members {
		if a, _ := m.status(); a != nil && a.PagesErr != nil {
			names = append(names, m.title())
			if text := a.PagesErr.Error(); !slices.Contains(why, text) {
				why = append(why, text)
			}
		}
	}
	if len(names) > 0 {
		list = append(
			list,
			note(
				"metrics-unknown",
				"look at --listen-client-http-urls of the members, which moves the page, and at what is on the way",
				"%s no page of metrics where clients connect",
				enumerate(names, "has", "have"),
			).because("%s", strings.Join(why, "; ")).
				of(names...).run("endpoint status --cluster -w table"),
		)
	}
	if f.Read.Err != nil {
		return list
	}
	var what []string
	may := false
	for _, x := range []struct {
		name string
		err  error
	}{{"the alarms", f.AlarmErr}, {"the leases", f.LeaseErr}, {"the history", f.KeysErr}} {
		if x.err != nil {
			what = append(what, fmt.Sprintf("%s (%v)", x.name, x.err))
			may = may || refused(x.err)
		}
	}
	switch {
	case len(what) > 0 && may:
		list = append(
			list,
			note(
				"unknown",
				"ask as a user who may",
				"these could not be looked at: %s",
				strings.Join(what, ", "),
			).run("--user root doctor"),
		)
	case len(what) > 0:
		list = append(list,
			note("unknown", "ask again", "these could not be looked at: %s", strings.Join(what, ", ")).run("doctor"))
	}
	return list
}
