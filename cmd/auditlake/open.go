package main

import (
	"context"
	"fmt"

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

// openCatalog opens the configured catalog; create lets it make one.
func (a *app) openCatalog(ctx context.Context, create bool) (*catalog.Catalog, error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	warehouse, err := storage.Normalize(cfg.Warehouse)
	if err != nil {
		return nil, usagef("warehouse: %v", err)
	}
	return catalog.Open(ctx, catalog.Config{
		Type: cfg.Catalog.Type, URI: cfg.Catalog.URI, Name: cfg.Catalog.Name, Namespace: cfg.Catalog.Namespace,
		Warehouse: warehouse, Storage: storageConfig(cfg), Create: create,
	})
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
