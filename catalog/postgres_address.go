package catalog

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// unreadable says why the driver cannot read catalog.uri. What it quotes may be a
// password, so it is left out where it could be.
func unreadable(uri string, err error) error {
	why := ""
	text := err.Error() // cannot parse `ADDRESS`: WHY
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		why = text[i+len("`: "):]
	}
	u, parsed := url.Parse(uri)
	if parsed != nil {
		why = ""
	} else {
		var secrets []string
		if password, ok := u.User.Password(); ok {
			secrets = append(secrets, password)
		}
		for key, values := range u.Query() {
			if strings.Contains(key, "password") {
				secrets = append(secrets, values...)
			}
		}
		for _, secret := range secrets {
			if secret != "" && strings.Contains(why, secret) {
				why = ""
			}
		}
	}
	switch {
	case strings.Contains(why, "sslmode is invalid"):
		return &ConfigError{Text: fmt.Sprintf("catalog.uri: sslmode=%s is not known: it is one of disable, allow, prefer, require, verify-ca, verify-full", u.Query().Get("sslmode"))}
	case why != "":
		return &ConfigError{Text: "catalog.uri cannot be read: correct its parameters: " + why}
	}
	return &ConfigError{Text: "catalog.uri cannot be read: write postgres://user@host:5432/database?sslmode=verify-full, and what is odd in it as %XX"}
}

// addressMistake finds in a connection that failed what only a change of catalog.uri
// mends; nil if there is none.
func addressMistake(err error) error {
	var certificate *tls.CertificateVerificationError
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case !errors.As(err, &connect):
		return nil
	case errors.As(err, &certificate):
		return &ConfigError{Text: "the certificate of the PostgreSQL server of catalog.uri is not trusted: name its authority's file in sslrootcert, or correct the host name", Err: certificate.Err}
	case refusesTLS(connect):
		return &ConfigError{Text: "the PostgreSQL server of catalog.uri speaks no TLS, and sslmode wants it: turn ssl on there, or write sslmode=prefer (disable on loopback)"}
	case errors.As(err, &pg) && (pg.Code == "42704" || pg.Code == "22023"):
		return &ConfigError{Text: "the PostgreSQL server does not take a parameter of catalog.uri: correct what stands there after the ?", Err: plainError(pg.Message)}
	}
	return nil
}

// refusesTLS reports a connection of which every way was refused for want of TLS:
// with sslmode=prefer the last way is one without.
func refusesTLS(err *pgconn.ConnectError) bool {
	for _, way := range strings.Split(err.Unwrap().Error(), "\n") {
		if !strings.Contains(way, "server refused TLS connection") {
			return false
		}
	}
	return true
}
