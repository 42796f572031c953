package etcdv3

import "github.com/go-kit/log"

// Registrar registers one service; it implements [sd.Registrar].
type Registrar struct {
	client  Client
	service Service
	logger  log.Logger
}

// NewRegistrar returns a Registrar of a service.
func NewRegistrar(client Client, service Service, logger log.Logger) *Registrar {
	return &Registrar{
		client:  client,
		service: service,
		logger:  log.With(logger, "key", service.Key, "value", service.Value),
	}
}

// Register registers the service. It logs a failure.
func (r *Registrar) Register() { r.log("register", r.client.Register(r.service)) }

// Deregister removes the service. It logs a failure.
func (r *Registrar) Deregister() { r.log("deregister", r.client.Deregister(r.service)) }

func (r *Registrar) log(action string, err error) {
	if err != nil {
		_ = r.logger.Log("action", action, "err", err)
		return
	}
	_ = r.logger.Log("action", action)
}
