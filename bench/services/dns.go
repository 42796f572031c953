package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/fairlead-go/fairlead/clientv3"
)

// dialDNS starts "fairlead dns" and calls the instances in its answers for as long as their TTLs
// allow.
func dialDNS(_ *clientv3.Client, etcd, service string, p *programs) (*caller, error) {
	fairlead, err := p.fairlead()
	if err != nil {
		return nil, err
	}
	cmd := p.command(fairlead, "--endpoints", etcd, "dns", "--listen", "127.0.0.1:0", "--ttl", dnsTTL.String())
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stderr).ReadString('\n') // answering for DOMAIN. on ADDRESS, UDP and TCP
	_, rest, ok := strings.Cut(line, " for ")
	domain, rest, ok2 := strings.Cut(rest, " on ")
	server, _, ok3 := strings.Cut(rest, ",")
	if err != nil || !ok || !ok2 || !ok3 {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("fairlead dns: %q, %w", line, errors.Join(err, cmd.Wait()))
	}
	go io.Copy(io.Discard, stderr)
	name, err := dnsmessage.NewName(service + "." + strings.Trim(domain, ".") + ".")
	if err != nil {
		return nil, err
	}
	r := &resolver{server: server, name: name}
	client := plainClient()
	return &caller{
		call: func(ctx context.Context, _ bool) error {
			address, err := r.pick(ctx)
			if err != nil {
				return err
			}
			return request(ctx, client, http.MethodGet, "http://"+address+"/")
		},
		known: func() int {
			ctx, cancel := context.WithTimeout(context.Background(), attempt)
			defer cancel()
			list, _, err := r.ask(ctx)
			if err != nil {
				return 0
			}
			return len(list)
		},
		close: func() { client.CloseIdleConnections(); _ = cmd.Process.Kill(); _ = cmd.Wait() },
	}, nil
}

// resolver keeps an answer for its TTL.
type resolver struct {
	server string
	name   dnsmessage.Name

	mu    sync.Mutex
	list  []string
	until time.Time
}

func (r *resolver) pick(ctx context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); !now.Before(r.until) {
		list, ttl, err := r.ask(ctx)
		if err != nil {
			return "", err
		}
		r.list, r.until = list, now.Add(ttl)
	}
	if len(r.list) == 0 {
		return "", errors.New("the name has no instances")
	}
	return r.list[rand.IntN(len(r.list))], nil
}

// ask asks for the name's SRV records, over TCP since there are many. All instances are on this
// machine.
func (r *resolver) ask(ctx context.Context) (list []string, ttl time.Duration, err error) {
	q := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: r.name, Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET}},
	}
	text, err := q.AppendPack(make([]byte, 2, 512))
	if err != nil {
		return nil, 0, err
	}
	binary.BigEndian.PutUint16(text, uint16(len(text)-2))
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.server)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	if until, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(until)
	}
	if _, err := conn.Write(text); err != nil {
		return nil, 0, err
	}
	size := make([]byte, 2)
	if _, err := io.ReadFull(conn, size); err != nil {
		return nil, 0, err
	}
	text = make([]byte, binary.BigEndian.Uint16(size))
	if _, err := io.ReadFull(conn, text); err != nil {
		return nil, 0, err
	}
	var a dnsmessage.Message
	if err := a.Unpack(text); err != nil {
		return nil, 0, err
	}
	if a.RCode != dnsmessage.RCodeSuccess && a.RCode != dnsmessage.RCodeNameError {
		return nil, 0, fmt.Errorf("dns: %v", a.RCode)
	}
	for _, record := range a.Answers {
		if srv, ok := record.Body.(*dnsmessage.SRVResource); ok {
			list = append(list, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(srv.Port))))
			ttl = time.Duration(record.Header.TTL) * time.Second
		}
	}
	return list, ttl, nil
}
