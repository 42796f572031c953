package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/server"
	"github.com/fairlead-go/fairlead/internal/wholefile"
)

// layoutFile records, in the data directory, the members and their addresses: a member's identity
// is bound to its peer address, so a restart needs the same ones.
const layoutFile = "fairlead-dev.json"

type layout struct {
	Members []member `json:"members"`
}

type member struct {
	Name    string `json:"name"`
	Client  string `json:"client"`  // host:port
	Peer    string `json:"peer"`    // host:port where it listens
	PeerURL string `json:"peerURL"` // the URL that the cluster knows
}

// ports returns the usual ports: those of etcd itself for one member, those of etcd's Procfile for
// more, which countless instructions repeat. The ports of further members continue in steps of ten
// thousand while there are ports.
func ports(members, index int) (client, peer int) {
	if members == 1 {
		return 2379, 2380
	}
	if index == 0 {
		return 2379, 12380
	}
	return 10000*(index+1) + 2379, 10000*(index+1) + 2380
}

// maxMembers is how many members fit into the port numbers.
const maxMembers = 6

func (l *layout) initialCluster() string {
	var parts []string
	for _, m := range l.Members {
		parts = append(parts, m.Name+"="+m.PeerURL)
	}
	return strings.Join(parts, ",")
}

func (l *layout) endpoints() []string {
	var eps []string
	for _, m := range l.Members {
		eps = append(eps, m.Client)
	}
	return eps
}

func (l *layout) save(dir string) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return wholefile.Write(filepath.Join(dir, layoutFile), append(text, '\n'), 0o600)
}

// load returns nil if the directory has no cluster yet.
func load(dir string) (*layout, error) {
	text, err := os.ReadFile(filepath.Join(dir, layoutFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "member")); err == nil {
			return nil, fmt.Errorf(
				"%s is the data directory of an etcd that fairlead dev did not start: give another --data-dir",
				dir,
			)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l := &layout{}
	if err := json.Unmarshal(text, l); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, layoutFile), err)
	}
	if len(l.Members) == 0 {
		return nil, fmt.Errorf("%s names no members", filepath.Join(dir, layoutFile))
	}
	return l, nil
}

// plan decides on the members' addresses, which stay reserved until release. notes name, for the
// user, ports that were in use. A port other than 0 is the first member's for clients, and must be
// free; see choose.
func plan(dir string, members, port int) (l *layout, notes []string, release func(), err error) {
	l, err = load(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	existing := l != nil
	switch {
	case existing && members != 0 && members != len(l.Members):
		return nil, nil, nil, fmt.Errorf("%s holds a cluster of %d, not of %d: give --members %d or another --data-dir",
			dir, len(l.Members), members, len(l.Members))
	case !existing:
		if l, err = fresh(max(members, 1)); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := l.choose(port, !existing); err != nil {
		return nil, nil, nil, err
	}
	var releases []func()
	release = func() {
		for _, r := range releases {
			r()
		}
	}
	// take reserves *addr, or a free address in its place if it is movable.
	take := func(addr *string, movable bool, what string) error {
		free, err := server.ReserveAddr(*addr)
		if err == nil {
			releases = append(releases, free)
			return nil
		}
		if movable && port != 0 {
			return fmt.Errorf("%s, for %s, is taken: free it or choose another --port", *addr, what)
		}
		if !movable {
			return fmt.Errorf(
				"%s is taken, and %s is bound to it by the data in %s: free it or give another --data-dir",
				*addr,
				what,
				dir,
			)
		}
		other, free, err := server.FreeAddr()
		if err != nil {
			return err
		}
		releases = append(releases, free)
		notes = append(notes, fmt.Sprintf("%s is taken; %s uses %s instead.", *addr, what, other))
		*addr = other
		return nil
	}
	for i := range l.Members {
		m := &l.Members[i]
		if err := take(&m.Client, true, m.Name+" (clients)"); err != nil {
			release()
			return nil, nil, nil, err
		}
		if err := take(&m.Peer, !existing || len(l.Members) == 1, m.Name+" (peers)"); err != nil {
			release()
			return nil, nil, nil, err
		}
		if !existing {
			m.PeerURL = "http://" + m.Peer
		}
	}
	return l, notes, release, nil
}

// choose gives the members the ports from port on, two for each: for clients and, while the cluster
// is new, for peers.
func (l *layout) choose(port int, peers bool) error {
	if port == 0 {
		return nil
	}
	if last := port + 2*len(l.Members) - 1; port < 1 || last > 65535 {
		return fmt.Errorf(
			"--port %d: %d members need the ports %d to %d, which must be within 1 and 65535",
			port,
			len(l.Members),
			port,
			last,
		)
	}
	for i := range l.Members {
		l.Members[i].Client = fmt.Sprintf("127.0.0.1:%d", port+2*i)
		if peers {
			l.Members[i].Peer = fmt.Sprintf("127.0.0.1:%d", port+2*i+1)
		}
	}
	return nil
}

func fresh(members int) (*layout, error) {
	if members > maxMembers {
		return nil, fmt.Errorf("at most %d members", maxMembers)
	}
	l := &layout{}
	for i := range members {
		client, peer := ports(members, i)
		l.Members = append(l.Members, member{
			Name:   fmt.Sprintf("infra%d", i+1),
			Client: fmt.Sprintf("127.0.0.1:%d", client),
			Peer:   fmt.Sprintf("127.0.0.1:%d", peer),
		})
	}
	return l, nil
}
