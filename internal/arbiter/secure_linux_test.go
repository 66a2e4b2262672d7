package arbiter_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"mxcluster/internal/arbiter"
	"mxcluster/internal/arbiter/etcdtest"
	"mxcluster/internal/fault"
)

// TestEtcdWithUser checks that an agent that logs in by a password goes on after
// etcd was started anew and knows its token no more.
func TestEtcdWithUser(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t, 1)[0]
	root := etcdtest.Client(t, server)
	ctx := t.Context()
	for _, step := range []func() error{
		func() error { _, err := root.UserAdd(ctx, "root", "r00t"); return err },
		func() error { _, err := root.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := root.RoleAdd(ctx, "mxcluster"); return err },
		func() error {
			_, err := root.RoleGrantPermission(ctx, "mxcluster", "/mxcluster/", "/mxcluster0", clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := root.UserAdd(ctx, "mx", "s3cret"); return err },
		func() error { _, err := root.UserGrantRole(ctx, "mx", "mxcluster"); return err },
		func() error { _, err := root.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	login := func(password string) *arbiter.Etcd {
		e := arbiter.New(arbiter.Config{Endpoints: []string{server.URL}, User: "mx", Password: password, Prefix: "/mxcluster", System: "TEST"})
		t.Cleanup(func() { _ = e.Close() })
		return e
	}
	if _, err := within(t, login("wrong").Keys); err == nil {
		t.Error("a wrong password was accepted")
	} else {
		t.Log(err)
	}
	if _, err := within(t, open(t, server.URL).Keys); err == nil {
		t.Error("nobody was let in")
	}
	e := login("s3cret")
	mine, err := take(t, e, 1, "srv1")
	if err != nil || mine.Server != "srv1" {
		t.Fatalf("took %+v, %v", mine, err)
	}
	server.Kill()
	server.Start()
	for until := time.Now().Add(30 * time.Second); ; {
		renewed := renew(t, e, mine.Lease)
		_, asked := within(t, e.Keys)
		if renewed == nil && asked == nil {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("after a restart of etcd: %v, %v", renewed, asked)
		}
	}
}

func TestEtcdWithTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, signer := certificate(t, dir, "ca", nil, nil)
	certificate(t, dir, "server", ca, signer)
	certificate(t, dir, "client", ca, signer)
	file := func(name string) string { return filepath.Join(dir, name) }
	server := etcdtest.Start(t, 1, "--cert-file", file("server.pem"), "--key-file", file("server.key"), "--client-cert-auth", "--trusted-ca-file", file("ca.pem"))[0]
	with, err := arbiter.LoadTLS(file("ca.pem"), file("client.pem"), file("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	e := arbiter.New(arbiter.Config{Endpoints: []string{server.URL}, TLS: with, Prefix: "/mxcluster", System: "TEST"})
	defer e.Close()
	for until := time.Now().Add(30 * time.Second); ; {
		mine, err := take(t, e, 1, "srv1")
		if err == nil {
			if err := renew(t, e, mine.Lease); err != nil {
				t.Error(err)
			}
			break
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
	without, err := arbiter.LoadTLS(file("ca.pem"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	stranger := arbiter.New(arbiter.Config{Endpoints: []string{server.URL}, TLS: without, Prefix: "/mxcluster", System: "TEST"})
	defer stranger.Close()
	if _, err := within(t, stranger.Keys); err == nil {
		t.Error("a client without a certificate was let in")
	} else {
		t.Log(err)
	}
	wary := open(t, server.URL)
	for until := time.Now().Add(30 * time.Second); ; {
		_, err := within(t, wary.Keys)
		if err != nil && strings.Contains(err.Error(), "certificate") {
			break
		}
		if err == nil || time.Now().After(until) { // on a busy machine there may be no time for it at first
			t.Fatalf("a certificate that nobody known has signed: %v", err)
		}
	}
}

func TestLoadTLSRefuses(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string][3]string{
		"no file":           {filepath.Join(dir, "none"), "", ""},
		"no certificate":    {empty, "", ""},
		"no pair":           {"", empty, empty},
		"no file of a pair": {"", filepath.Join(dir, "none"), empty},
	} {
		if _, err := arbiter.LoadTLS(files[0], files[1], files[2]); fault.CodeOf(err) != fault.Invalid || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if cfg, err := arbiter.LoadTLS("", "", ""); cfg != nil || err != nil {
		t.Errorf("nothing given: %v, %v", cfg, err)
	}
}

// certificate makes a certificate, and writes it and its key into a folder. It is
// signed by itself without a signer.
func certificate(t *testing.T, dir, name string, ca *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: signer == nil, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if signer == nil {
		ca, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c, key
}
