package kafkatest

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
	"slices"
	"time"
)

// CA is an authority of a test, and issues certificates.
type CA struct {
	File string // PEM of its certificate

	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

// Certificate says what to issue; the zero value of a field is what suits a test.
type Certificate struct {
	Name     string    // common name, and name of the files
	Hosts    []string  // names and IP addresses; 127.0.0.1 and localhost where nil
	NotAfter time.Time // in a day where zero
}

// Issued are PEM files: certificate, key, and both in one.
type Issued struct{ Cert, Key, Both string }

// NewCA makes an authority that keeps its files in dir.
func NewCA(dir string) (*CA, error) {
	ca := &CA{dir: dir, serial: 1}
	var err error
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &ca.key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	ca.File = filepath.Join(dir, "ca.pem")
	return ca, os.WriteFile(ca.File, encode("CERTIFICATE", der), 0o600)
}

// Issue makes a certificate for servers and clients, and its files.
func (ca *CA) Issue(c Certificate) (Issued, error) {
	if c.Hosts == nil {
		c.Hosts = []string{"127.0.0.1", "localhost"}
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(24 * time.Hour)
	}
	ca.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(ca.serial), Subject: pkix.Name{CommonName: c.Name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: c.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range c.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Issued{}, err
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return Issued{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Issued{}, err
	}
	base := filepath.Join(ca.dir, c.Name)
	out := Issued{Cert: base + ".pem", Key: base + ".key", Both: base + ".both.pem"}
	certPEM, keyPEM := encode("CERTIFICATE", cert), encode("PRIVATE KEY", pkcs8)
	for name, text := range map[string][]byte{out.Cert: certPEM, out.Key: keyPEM, out.Both: slices.Concat(keyPEM, certPEM)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return Issued{}, err
		}
	}
	return out, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
