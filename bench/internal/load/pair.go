package load

import (
	"errors"

	official "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Pair is a server of one member and a client of each kind, all with their defaults.
type Pair struct {
	Cluster *etcdtest.Cluster
	Theirs  *official.Client
	Ours    *ours.Client
}

// NewPair starts a pair; flags are added to the server's. Close ends it.
func NewPair(flags ...string) (*Pair, error) {
	cluster, err := etcdtest.StartMain(etcdtest.Options{Args: flags})
	if err != nil {
		return nil, err
	}
	p := &Pair{Cluster: cluster}
	if p.Theirs, err = official.New(official.Config{Endpoints: cluster.Endpoints(), Logger: zap.NewNop()}); err == nil {
		p.Ours, err = ours.New(ours.Config{Endpoints: cluster.Endpoints(), Logger: zap.NewNop()})
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close ends the clients and the server.
func (p *Pair) Close() error {
	var errs []error
	if p.Theirs != nil {
		errs = append(errs, p.Theirs.Close())
	}
	if p.Ours != nil {
		errs = append(errs, p.Ours.Close())
	}
	return errors.Join(append(errs, p.Cluster.Stop())...)
}
