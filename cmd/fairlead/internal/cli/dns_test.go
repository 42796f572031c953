package cli

import (
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// answering returns the address that the command prints.
func (b *background) answering() string {
	b.t.Helper()
	at := regexp.MustCompile(`on (\S+:\d+), UDP and TCP`)
	b.await("UDP and TCP")
	_, err := b.text()
	return at.FindStringSubmatch(err)[1]
}

func resolve(t *testing.T, network, server, name string, qtype uint16) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: patience}
	a, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, qtype), server)
	if err != nil {
		t.Fatalf("%s over %s: %v", name, network, err)
	}
	return a
}

func TestDNS(t *testing.T) {
	c := shared(t)
	s := strings.ToLower(strings.ReplaceAll(key(t, "orders"), "/", "-"))
	one := startCommand(
		t,
		c,
		"svc",
		"register",
		s,
		"--drain",
		"100ms",
		"--id",
		"one",
		"--addr",
		"10.0.0.1:80",
		"--version",
		"v1.2",
		"--zone",
		"east",
		"--weight",
		"3",
		"--tag",
		"blue",
		"--meta",
		"team=x",
	)
	two := startCommand(
		t,
		c,
		"svc",
		"register",
		s,
		"--drain",
		"100ms",
		"--id",
		"two",
		"--addr",
		"two.example.com:81",
		"--zone",
		"west",
	)
	one.await("registered")
	two.await("registered")
	b := startCommand(t, c, "dns", "--listen", "127.0.0.1:0", "--domain", "Fairlead.Local", "--ttl", "2s")
	at := b.answering()
	name := s + ".fairlead.local."
	for _, network := range []string{"udp", "tcp"} {
		a := resolve(t, network, at, name, dns.TypeA)
		if len(a.Answer) != 1 || a.Answer[0].(*dns.A).A.String() != "10.0.0.1" || a.Answer[0].Header().Ttl != 2 {
			t.Errorf("%s: %v", network, a)
		}
		var targets []string
		for _, rr := range resolve(t, network, at, name, dns.TypeSRV).Answer {
			targets = append(targets, rr.(*dns.SRV).Target)
		}
		slices.Sort(targets)
		if want := []string{"ip-10-0-0-1." + name, "two.example.com."}; !slices.Equal(targets, want) {
			t.Errorf("%s: targets %q, want %q", network, targets, want)
		}
		a = resolve(t, network, at, "v1.2."+name, dns.TypeTXT)
		if want := []string{"id=one", "version=v1.2", "zone=east", "tags=blue", "team=x"}; len(a.Answer) != 1 ||
			!slices.Equal(a.Answer[0].(*dns.TXT).Txt, want) {
			t.Errorf("%s: %v", network, a)
		}
		if a := resolve(t, network, at, "west."+name, dns.TypeA); len(a.Answer) != 1 ||
			a.Answer[0].(*dns.CNAME).Target != "two.example.com." {
			t.Errorf("%s: %v", network, a)
		}
		if a := resolve(t, network, at, "nosuch."+name, dns.TypeA); a.Rcode != dns.RcodeNameError {
			t.Errorf("%s: %v", network, a)
		}
	}
	c.want("OK\n", "svc", "drain", s, "one")
	b.awaitThat("the drained one is gone, and a host name is left", func() bool {
		a := resolve(t, "udp", at, name, dns.TypeA).Answer
		return len(a) == 1 && a[0].Header().Rrtype == dns.TypeCNAME
	})
	one.end(syscall.SIGINT, 130)
	two.end(syscall.SIGINT, 130)
	b.end(syscall.SIGTERM, 143)
}

// A draining instance stays until clients may not use the answers with it any more, even if no
// query comes meanwhile.
func TestDrainAwaitsDNS(t *testing.T) {
	c := shared(t)
	s := strings.ToLower(strings.ReplaceAll(key(t, "orders"), "/", "-"))
	one := startCommand(
		t,
		c,
		"svc",
		"register",
		s,
		"--id",
		"one",
		"--addr",
		"10.0.0.1:80",
		"--serve",
		"0s",
		"--drain",
		"30s",
	)
	one.await("registered")
	b := startCommand(t, c, "dns", "--listen", "127.0.0.1:0", "--ttl", "2s")
	at := b.answering()
	b.awaitThat(
		"it answers",
		func() bool { return len(resolve(t, "udp", at, s+".fairlead.internal.", dns.TypeA).Answer) == 1 },
	)
	b.awaitThat("it is announced", func() bool {
		return strings.Contains(
			c.run("get", "--prefix", "--keys-only", "/fairlead/watchers/"+s+"/").out,
			"fairlead%20dns",
		)
	})
	began := time.Now()
	one.end(syscall.SIGINT, 130)
	if took := time.Since(began); took < 2*time.Second || took > 25*time.Second {
		t.Errorf("it has gone after %v", took)
	}
	b.end(syscall.SIGTERM, 143)
}

// Without etcd the command starts, and answers SERVFAIL.
func TestDNSWithoutEtcd(t *testing.T) {
	c := &cmd{t: t, endpoint: "127.0.0.1:1"}
	b := startCommand(t, c, "dns", "--listen", "127.0.0.1:0")
	at := b.answering()
	begin := time.Now()
	if a := resolve(t, "udp", at, "orders.fairlead.internal.", dns.TypeA); a.Rcode != dns.RcodeServerFailure {
		t.Errorf("%v", a)
	}
	if took := time.Since(begin); took > patience/3 {
		t.Errorf("after %v", took)
	}
	if a := resolve(t, "tcp", at, "example.com.", dns.TypeA); a.Rcode != dns.RcodeRefused {
		t.Errorf("%v", a)
	}
	b.end(syscall.SIGINT, 130)
}

func TestDNSUsage(t *testing.T) {
	c := shared(t)
	for _, args := range [][]string{
		{"dns", "x"}, {"dns", "--listen", "nowhere"}, {"dns", "--domain", "a..b"}, {"dns", "--ttl", "1ms"},
		{"dns", "--ttl", "-1s"},
		{"dns", "--max-services", "-1"}, {"dns", "--records", "x"},
	} {
		if r := c.run(args...); r.code != command.ExitUsage {
			t.Errorf("%q: %+v", args, r)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.wantFailure(command.ExitFailed, "address already in use", "dns", "--listen", l.Addr().String())
}
