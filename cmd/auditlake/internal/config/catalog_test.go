package config

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCatalogsOfEveryKind(t *testing.T) {
	secrets := env("PGPASSWORD", "p@ss:w/rd", "CREDENTIAL", "id:se:cret")
	c, err := Parse("a.yaml", "/base", []byte(`
catalog: {type: postgres, uri: "postgres://auditlake@db:5432/lake", password: "${PGPASSWORD}"}
warehouse: s3://b/p
`), secrets)
	require.NoError(t, err)
	require.Equal(t, "postgres://auditlake@db:5432/lake", c.Catalog.URI)
	require.Equal(t, "p@ss:w/rd", c.Catalog.Password.Reveal())

	c, err = Parse("a.yaml", "/base", []byte(`
catalog:
  type: rest
  uri: https://catalog.example.com/api/catalog
  rest: {warehouse: lake, credential: "${CREDENTIAL}", oauth2_server_uri: "https://idp/token", scope: all, audience: a, resource: r, prefix: p, ca_file: ca.pem}
`), secrets)
	require.NoError(t, err)
	require.Empty(t, c.Warehouse)
	require.Equal(t, "id:se:cret", c.Catalog.REST.Credential.Reveal())
	require.Equal(t, "/base/ca.pem", c.Catalog.REST.CAFile)
	require.True(t, c.Catalog.REST.VendedCredentials)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", c, c, c), "se:cret")

	c, err = Parse("a.yaml", "/base", []byte("catalog: {type: glue, glue: {region: eu-central-1, id: \"1\"}}\nwarehouse: s3://b/p\n"), secrets)
	require.NoError(t, err)
	require.Equal(t, Glue{Region: "eu-central-1", ID: "1"}, c.Catalog.Glue)
}

func TestCatalogMistakes(t *testing.T) {
	const (
		postgres = "warehouse: w\ncatalog: {type: postgres, "
		rest     = "catalog: {type: rest, uri: http://c, rest: {"
		glue     = "warehouse: w\ncatalog: {type: glue, "
	)
	for text, want := range map[string]string{
		postgres + "name: x}":                                     "catalog.uri is missing: name the database",
		postgres + "uri: c.db}":                                   "catalog.uri: is no address of a PostgreSQL database",
		postgres + `uri: "postgres://a:hidden%zz@h/d"}`:           "catalog.uri: is no address of a PostgreSQL database",
		postgres + `uri: "postgres://a:hidden@h/d", password: b}`: "catalog.password: stands in catalog.uri too: keep one of them",
		postgres + `uri: "postgres://a@h/d", rest: {token: x}}`:   "catalog.rest: means nothing to a catalog of type postgres: remove it, or correct catalog.type",
		"warehouse: w\ncatalog: {uri: c.db, password: x}":         "catalog.password: means nothing to a catalog of type sqlite",
		"catalog: {type: postgres, uri: \"postgres://a@h/d\"}":    "warehouse is missing",
		"catalog: {type: rest, name: x}":                          "catalog.uri is missing: name the catalog's address before /v1",
		"catalog: {type: rest, uri: catalog}":                     "catalog.uri: is no address of a REST catalog",
		"catalog: {type: rest, uri: \"http://a:hidden@h\"}":       "catalog.uri: holds a user name",
		"catalog: {type: rest, uri: \"http://h/api/v1/\"}":        "catalog.uri: ends in /v1",
		rest + "token: t, credential: c}}":                        "catalog.rest: credential and token exclude one another",
		rest + "token: t, sigv4: true}}":                          "catalog.rest: sigv4 and token exclude one another",
		rest + "scope: x}}":                                       "catalog.rest.scope: is of use with credential only",
		rest + "signing_region: x}}":                              "catalog.rest.signing_region: is of use with sigv4 only",
		rest + "credential: hidden}}":                             "catalog.rest.credential: is not client-id:client-secret: write both, with a colon between them",
		rest + "credential: \"hidden:\"}}":                        "catalog.rest.credential: is not client-id:client-secret",
		rest + "credential: \"c:d\", oauth2_server_uri: token}}":  "catalog.rest.oauth2_server_uri: is no URL",
		rest + "sigv4: yes}}":                                     "want true or false",
		rest + "credentials: x}}":                                 `did you mean "credential"?`,
		glue + "uri: x}":                                          "catalog.uri: means nothing to a catalog of type glue",
		glue + "namespace: a.b}":                                  `catalog.namespace: "a.b" cannot be a database of Glue: it has one level, in lower case`,
		glue + "glue: {endpoint: here}}":                          "catalog.glue.endpoint: \"here\" is no URL",
		"warehouse: w\ncatalog: {uri: c.db, namespace: \"a/b\"}":  `catalog.namespace: "a/b" has characters that not every engine takes`,
		"warehouse: w\ncatalog: {uri: c.db, namespace: \"a..b\"}": "use letters, digits, _ and -",
		"warehouse: w\ncatalog: {uri: c.db, namespace: \"ä\"}":    "use letters, digits, _ and -",
	} {
		_, err := Parse("a.yaml", "/base", []byte(text+"\n"), env())
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "hidden")
		require.Contains(t, err.Error(), "a.yaml:")
	}
}
