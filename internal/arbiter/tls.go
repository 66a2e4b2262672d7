package arbiter

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"mxcluster/internal/fault"
)

// LoadTLS reads the certificates that etcd's are checked by, and the one that
// etcd knows this server by; each may be "". Without any it returns nil. What
// cannot be read or is no certificate is fault.Invalid.
func LoadTLS(ca, cert, key string) (*tls.Config, error) {
	if ca == "" && cert == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "see the setting arbiter.etcd.ca", "reading etcd's certificates")
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fault.New(fault.Invalid, "see the setting arbiter.etcd.ca", "%s holds no certificate in PEM form", ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "see the settings arbiter.etcd.cert and arbiter.etcd.key", "reading the certificate for etcd")
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
