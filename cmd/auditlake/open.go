package main

import (
	"context"
	"fmt"
	"os"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/storage"
)

func storageConfig(cfg *config.Config) storage.Config {
	return storage.Config{S3: storage.S3Config{
		Endpoint:        cfg.S3.Endpoint,
		Region:          cfg.S3.Region,
		PathStyle:       cfg.S3.PathStyle,
		AccessKeyID:     cfg.S3.AccessKeyID,
		SecretAccessKey: cfg.S3.SecretAccessKey.Reveal(),
	}}
}

// storageOf is storageConfig with a log, for commands that go on for long.
func (a *app) storageOf(cfg *config.Config) storage.Config {
	out := storageConfig(cfg)
	if a.tells {
		out.S3.Log = a.logger()
	}
	return out
}

// openCatalog opens the configured catalog; create lets it make one.
func (a *app) openCatalog(ctx context.Context, create bool) (*catalog.Catalog, error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	warehouse := ""
	if cfg.Warehouse != "" { // else the catalog decides where tables go
		if warehouse, err = storage.Normalize(cfg.Warehouse); err != nil {
			return nil, usagef("warehouse: %v", err)
		}
	}
	rest, err := restConfig(cfg)
	if err != nil {
		return nil, err
	}
	return catalog.Open(ctx, catalog.Config{
		Type: cfg.Catalog.Type, URI: cfg.Catalog.URI, Password: cfg.Catalog.Password.Reveal(), REST: rest, Glue: catalog.GlueConfig(cfg.Catalog.Glue),
		Name: cfg.Catalog.Name, Namespace: cfg.Catalog.Namespace, Warehouse: warehouse, Storage: a.storageOf(cfg), Create: create,
	})
}

func restConfig(cfg *config.Config) (catalog.RESTConfig, error) {
	r := cfg.Catalog.REST
	out := catalog.RESTConfig{
		Warehouse: r.Warehouse, Prefix: r.Prefix,
		Credential: r.Credential.Reveal(), OAuth2ServerURI: r.OAuth2ServerURI, Scope: r.Scope, Audience: r.Audience, Resource: r.Resource,
		Token: r.Token.Reveal(), SigV4: r.SigV4, SigningRegion: r.SigningRegion, SigningName: r.SigningName,
		NoVendedCredentials: !r.VendedCredentials,
	}
	if r.CAFile != "" {
		pem, err := os.ReadFile(r.CAFile)
		if err != nil {
			return out, cfg.Fault("catalog.rest.ca_file", err.Error(), "name a readable PEM file")
		}
		out.CAPEM = pem
	}
	return out, nil
}

// withCatalog runs do with the configured catalog open.
func (a *app) withCatalog(ctx context.Context, create bool, do func(*catalog.Catalog) error) (err error) {
	cat, err := a.openCatalog(ctx, create)
	if err != nil {
		return err
	}
	defer func() {
		if e := cat.Close(); e != nil && err == nil {
			err = fmt.Errorf("close the catalog: %w", e)
		}
	}()
	return do(cat)
}
