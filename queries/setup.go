package queries

import (
	"context"
	"fmt"
	"strings"

	"github.com/auditlake/auditlake/catalog"
)

// SetupScript returns SQL that gives a DuckDB of one's own, with the iceberg
// extension, the tables, views and macros of a session at its snapshots. The
// canned queries run there once their $parameters are given values.
func (s *Session) SetupScript(ctx context.Context) (string, error) {
	tables, err := s.planAll(ctx, window{s.opts.From, s.opts.To})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- auditlake's tables and views in DuckDB, as of snapshot %d of %s.\n", tables[0].plan.SnapshotID, catalog.AgentEvents)
	b.WriteString("-- Run it again to see what was committed since.\nINSTALL iceberg;\nLOAD iceberg;\n")
	if s3 := s.opts.Storage.S3; strings.HasPrefix(tables[0].plan.MetadataLocation, "s3") {
		b.WriteString("INSTALL httpfs;\nLOAD httpfs;\nINSTALL aws;\nLOAD aws;\n")
		b.WriteString("CREATE OR REPLACE SECRET auditlake (TYPE s3, PROVIDER credential_chain")
		if s3.Region != "" {
			fmt.Fprintf(&b, ", REGION %s", literal(s3.Region))
		}
		if scheme, host, ok := strings.Cut(s3.Endpoint, "://"); ok {
			fmt.Fprintf(&b, ", ENDPOINT %s, USE_SSL %t", literal(host), scheme == "https")
		}
		if s3.PathStyle {
			b.WriteString(", URL_STYLE 'path'")
		}
		b.WriteString(");\n")
	}
	b.WriteString("SET TimeZone='UTC';\nCREATE SCHEMA IF NOT EXISTS lake;\n")
	for _, p := range tables {
		fmt.Fprintf(&b, "CREATE OR REPLACE VIEW lake.%s AS %s;\n", p.rows, p.icebergScan())
	}
	events := tables[0]
	once := "SELECT " + events.names("") + " FROM lake.event_rows QUALIFY row_number() OVER (PARTITION BY source, event_id " +
		"ORDER BY kafka_topic, kafka_partition, kafka_offset, record_index) = 1"
	for _, statement := range viewScript(tables, once) {
		b.WriteString(statement + ";\n")
	}
	return b.String(), nil
}

// icebergScan reads the table through DuckDB's iceberg extension, which prunes
// by itself.
func (p planned) icebergScan() string {
	if p.plan.SnapshotID == 0 {
		return "SELECT " + p.typed() + " WHERE false"
	}
	cols := make([]string, len(p.columns))
	for i, c := range p.columns {
		if cols[i] = ident(c.name); c.id == 0 {
			cols[i] = "NULL::" + c.kind + " AS " + ident(c.name)
		}
	}
	location := p.plan.MetadataLocation
	if path, ok := localPath(location); ok {
		location = path
	}
	text := fmt.Sprintf("SELECT %s FROM iceberg_scan(%s, snapshot_from_id = %d)", strings.Join(cols, ", "), literal(location), p.plan.SnapshotID)
	if where := p.condition(); where != "" {
		text += " WHERE " + where
	}
	return text
}
