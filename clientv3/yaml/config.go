// Package yaml reads the configuration of a client from a YAML file. The keys are the JSON names of
// clientv3.Config and those of this list:
//
//	endpoints: [10.0.0.1:2379, 10.0.0.2:2379]
//	dial-timeout: 5000000000      # durations are nanoseconds
//	username: root
//	password: secret
//	insecure-transport: false     # true: no TLS, whatever else is said
//	insecure-skip-tls-verify: false
//	cert-file: client.pem         # client certificate, with
//	key-file: client-key.pem      # its key
//	trusted-ca-file: ca.pem       # authority of the servers' certificates
//
// Unknown keys are ignored. Everything here is safe for concurrent use.
package yaml

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-go/fairlead/clientv3"
)

// security has the keys of a file besides the fields of clientv3.Config.
type security struct {
	InsecureTransport     bool   `json:"insecure-transport"`
	InsecureSkipTLSVerify bool   `json:"insecure-skip-tls-verify"`
	CertFile              string `json:"cert-file"`
	KeyFile               string `json:"key-file"`
	TrustedCAFile         string `json:"trusted-ca-file"`
}

// NewConfig reads a file. Unless insecure-transport is true, the configuration has TLS; if the file
// names no authority, the system's count. The certificate files are read again when they change.
// Errors name the file. It cannot be read (an *fs.PathError), is not YAML, has a value of a wrong
// type, or names unusable certificates: one of cert-file and key-file is missing, or a file cannot
// be used. NewConfig does not check what clientv3.New checks, such as the endpoints.
func NewConfig(fpath string) (*clientv3.Config, error) {
	text, err := os.ReadFile(fpath)
	if err != nil {
		return nil, err
	}
	var s security
	if err := yaml.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", fpath, err)
	}
	spec := &clientv3.ConfigSpec{}
	if !s.InsecureTransport {
		spec.Secure = &clientv3.SecureConfig{
			Cert: s.CertFile, Key: s.KeyFile, Cacert: s.TrustedCAFile, InsecureSkipVerify: s.InsecureSkipTLSVerify,
		}
	}
	cfg, err := clientv3.NewClientConfig(spec, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fpath, err)
	}
	secure := cfg.TLS
	cfg.TLS = nil // the file cannot set it
	if err := yaml.Unmarshal(text, cfg); err != nil {
		return nil, fmt.Errorf("%s: %w", fpath, err)
	}
	cfg.TLS = secure
	return cfg, nil
}
