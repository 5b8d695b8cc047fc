package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// namespaceName is what every catalog, object store and engine takes as it is.
var namespaceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*$`)

func (c *Config) checkCatalog() error {
	if c.Catalog.Name == "" || c.Catalog.Namespace == "" {
		return c.Fault("catalog", "name and namespace must not be empty", "remove the key to take the default")
	}
	if !namespaceName.MatchString(c.Catalog.Namespace) {
		return c.Fault("catalog.namespace", fmt.Sprintf("%q has characters that not every engine takes", c.Catalog.Namespace), "use letters, digits, _ and -, with . between levels")
	}
	if err := c.checkForeignKeys(); err != nil {
		return err
	}
	switch c.Catalog.Type {
	case "postgres":
		return c.checkPostgres()
	case "rest":
		return c.checkREST()
	case "glue":
		return c.checkGlue()
	}
	if c.Catalog.URI == "" {
		return c.Fault("catalog.uri", "is missing", "name the catalog's file, such as ./lake/catalog.db")
	}
	if isURL(c.Catalog.URI) {
		return c.Fault("catalog.uri", "is a URL", "a sqlite catalog is a plain file, such as ./lake/catalog.db; for a server name its kind in catalog.type")
	}
	return nil
}

// checkForeignKeys refuses keys of another kind of catalog: they would do nothing.
func (c *Config) checkForeignKeys() error {
	var foreign []string
	for key := range c.where {
		for prefix, kind := range map[string]string{"catalog.password": "postgres", "catalog.rest": "rest", "catalog.glue": "glue"} {
			if (key == prefix || strings.HasPrefix(key, prefix+".")) && c.Catalog.Type != kind {
				foreign = append(foreign, key)
			}
		}
	}
	if c.Catalog.Type == "glue" && c.Catalog.URI != "" {
		foreign = append(foreign, "catalog.uri")
	}
	if len(foreign) == 0 {
		return nil
	}
	return c.Fault(slices.Min(foreign), fmt.Sprintf("means nothing to a catalog of type %s", c.Catalog.Type), "remove it, or correct catalog.type")
}

func (c *Config) checkPostgres() error {
	if c.Catalog.URI == "" {
		return c.Fault("catalog.uri", "is missing", "name the database, such as postgres://auditlake@db.example.com:5432/lake")
	}
	// Never the address itself in an error: it may hold a password.
	u, err := url.Parse(c.Catalog.URI)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return c.Fault("catalog.uri", "is no address of a PostgreSQL database", "write postgres://user@host:5432/database, with what is odd in it as %XX")
	}
	if _, both := u.User.Password(); both && c.Catalog.Password.IsSet() {
		return c.Fault("catalog.password", "stands in catalog.uri too", "keep one of them")
	}
	return nil
}

func (c *Config) checkREST() error {
	r := c.Catalog.REST
	if c.Catalog.URI == "" {
		return c.Fault("catalog.uri", "is missing", "name the catalog's address before /v1, such as https://catalog.example.com/api/catalog")
	}
	u, err := url.Parse(c.Catalog.URI)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return c.Fault("catalog.uri", "is no address of a REST catalog", "write https://host/path, without /v1")
	case u.User != nil:
		return c.Fault("catalog.uri", "holds a user name", "log in by catalog.rest.credential, token or sigv4")
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/v1"):
		return c.Fault("catalog.uri", "ends in /v1", "leave that out: it is added")
	}
	var logins []string
	for name, set := range map[string]bool{"credential": r.Credential.IsSet(), "token": r.Token.IsSet(), "sigv4": r.SigV4} {
		if set {
			logins = append(logins, name)
		}
	}
	if len(logins) > 1 {
		slices.Sort(logins)
		return c.Fault("catalog.rest", strings.Join(logins, " and ")+" exclude one another", "keep the one that the catalog wants")
	}
	if id, secret, _ := strings.Cut(r.Credential.Reveal(), ":"); r.Credential.IsSet() && (id == "" || secret == "") {
		return c.Fault("catalog.rest.credential", "is not client-id:client-secret", "write both, with a colon between them; a bearer token goes into catalog.rest.token")
	}
	if !r.Credential.IsSet() {
		for _, key := range []string{"oauth2_server_uri", "scope", "audience", "resource"} {
			if _, set := c.where["catalog.rest."+key]; set {
				return c.Fault("catalog.rest."+key, "is of use with credential only", "add credential (client id:secret), or remove it")
			}
		}
	}
	if !r.SigV4 {
		for _, key := range []string{"signing_region", "signing_name"} {
			if _, set := c.where["catalog.rest."+key]; set {
				return c.Fault("catalog.rest."+key, "is of use with sigv4 only", "add sigv4: true, or remove it")
			}
		}
	}
	if t, err := url.Parse(r.OAuth2ServerURI); r.OAuth2ServerURI != "" && (err != nil || t.Host == "" || !strings.HasPrefix(t.Scheme, "http")) {
		return c.Fault("catalog.rest.oauth2_server_uri", "is no URL", "write https://host/path of the token endpoint")
	}
	return nil
}

func (c *Config) checkGlue() error {
	if strings.ToLower(c.Catalog.Namespace) != c.Catalog.Namespace || strings.Contains(c.Catalog.Namespace, ".") {
		return c.Fault("catalog.namespace", fmt.Sprintf("%q cannot be a database of Glue", c.Catalog.Namespace), "it has one level, in lower case")
	}
	if u, err := url.Parse(c.Catalog.Glue.Endpoint); c.Catalog.Glue.Endpoint != "" && (err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http")) {
		return c.Fault("catalog.glue.endpoint", fmt.Sprintf("%q is no URL", c.Catalog.Glue.Endpoint), "write it as https://host")
	}
	return nil
}

func (c *Config) checkWarehouse() error {
	if c.Warehouse == "" && c.Catalog.Type != "rest" {
		return c.Fault("warehouse", "is missing", "name a folder such as ./lake/warehouse, or s3://bucket/prefix")
	}
	if isURL(c.Warehouse) {
		u, err := url.Parse(c.Warehouse)
		if err != nil || (u.Scheme != "file" && u.Scheme != "s3") {
			return c.Fault("warehouse", fmt.Sprintf("cannot write to %q", c.Warehouse), "it is a folder, file:///folder or s3://bucket/prefix")
		}
		if u.Scheme == "s3" && u.Host == "" {
			return c.Fault("warehouse", fmt.Sprintf("%q has no bucket", c.Warehouse), "write s3://bucket/prefix")
		}
	}
	if (c.S3.AccessKeyID == "") != !c.S3.SecretAccessKey.IsSet() {
		return c.Fault("s3", "access_key_id and secret_access_key belong together", "give both, or neither to take the AWS defaults")
	}
	if u, err := url.Parse(c.S3.Endpoint); c.S3.Endpoint != "" && (err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http")) {
		return c.Fault("s3.endpoint", fmt.Sprintf("%q is no URL", c.S3.Endpoint), "write it as http://host:port or https://host")
	}
	return nil
}
