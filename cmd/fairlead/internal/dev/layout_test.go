package dev

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/server"
)

func TestPorts(t *testing.T) {
	for members, want := range map[int]string{
		1: "2379/2380",
		3: "2379/12380 22379/22380 32379/32380",
	} {
		var got []string
		for i := range members {
			client, peer := ports(members, i)
			got = append(got, fmt.Sprintf("%d/%d", client, peer))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%d members: %v, want %s", members, got, want)
		}
	}
	for i := range maxMembers {
		if client, peer := ports(maxMembers, i); client > 65535 || peer > 65535 {
			t.Errorf("member %d: ports %d and %d", i, client, peer)
		}
	}
	if _, err := fresh(maxMembers + 1); err == nil {
		t.Error("more members than ports")
	}
}

// addrs makes a layout on free ports; the usual ones may be in use on this machine.
func addrs(t *testing.T, members int) *layout {
	t.Helper()
	l := &layout{}
	for i := range members {
		client, free1, err := server.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		peer, free2, err := server.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		defer free1()
		defer free2()
		l.Members = append(l.Members, member{fmt.Sprintf("infra%d", i+1), client, peer, "http://" + peer})
	}
	return l
}

func TestPlanOnExistingData(t *testing.T) {
	dir := t.TempDir()
	saved := addrs(t, 3)
	if err := saved.save(dir); err != nil {
		t.Fatal(err)
	}
	l, notes, release, err := plan(dir, 0, 0)
	if err != nil || len(notes) != 0 || l.initialCluster() != saved.initialCluster() {
		t.Fatalf("%+v, %q, %v", l, notes, err)
	}
	release()

	if _, _, _, err := plan(dir, 1, 0); err == nil || !strings.Contains(err.Error(), "cluster of 3, not of 1") {
		t.Errorf("another number of members: %v", err)
	}

	// A client port may move, a peer port may not: the members know each other by it.
	taken, err := server.ReserveAddr(saved.Members[1].Client)
	if err != nil {
		t.Fatal(err)
	}
	l, notes, release, err = plan(dir, 3, 0)
	if err != nil || len(notes) != 1 || l.Members[1].Client == saved.Members[1].Client {
		t.Errorf("client port taken: %+v, %q, %v", l, notes, err)
	}
	release()
	taken()
	taken, err = server.ReserveAddr(saved.Members[2].Peer)
	if err != nil {
		t.Fatal(err)
	}
	defer taken()
	if _, _, _, err = plan(dir, 3, 0); err == nil || !strings.Contains(err.Error(), saved.Members[2].Peer+" is taken") {
		t.Errorf("peer port taken: %v", err)
	}
}

func TestPlanOnForeignOrBrokenData(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := plan(dir, 1, 0); err == nil || !strings.Contains(err.Error(), "did not start") {
		t.Errorf("another etcd's data: %v", err)
	}
	for _, text := range []string{"", "{}", "nonsense"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, layoutFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := plan(dir, 1, 0); err == nil || !strings.Contains(err.Error(), layoutFile) {
			t.Errorf("layout file %q: %v", text, err)
		}
	}
}

// Chosen ports are those or none.
func TestChosenPorts(t *testing.T) {
	l, err := fresh(3)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.choose(7000, true); err != nil || l.Members[0].Client != "127.0.0.1:7000" ||
		l.Members[2].Client != "127.0.0.1:7004" ||
		l.Members[2].Peer != "127.0.0.1:7005" {
		t.Errorf("%+v, %v", l, err)
	}
	if err := l.choose(8000, false); err != nil || l.Members[2].Client != "127.0.0.1:8004" ||
		l.Members[2].Peer != "127.0.0.1:7005" {
		t.Errorf("%+v, %v", l, err)
	}
	for _, port := range []int{-1, 65531, 70000} {
		if err := l.choose(port, true); err == nil || !strings.Contains(err.Error(), "--port") {
			t.Errorf("%d: %v", port, err)
		}
	}
	addr, free, err := server.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	_, text, _ := strings.Cut(addr, ":")
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := plan(t.TempDir(), 1, port); err == nil ||
		!strings.Contains(err.Error(), addr+", for infra1 (clients), is taken") {
		t.Errorf("a port that is taken: %v", err)
	}
}
