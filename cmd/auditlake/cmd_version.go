package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by release builds: -ldflags "-X main.version=v1.2.3".
var version string

// versions is what this binary is made of.
type versions struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	DuckDB   string `json:"duckdb"`
	Iceberg  string `json:"iceberg_go"`
	Arrow    string `json:"arrow_go"`
	Franz    string `json:"franz_go"`
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version of this binary and of what it is made of", Args: takes(0, 0, "")}
	out := outputFlags(cmd, asTable, asJSON)
	cmd.RunE = func(*cobra.Command, []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		v := readVersions()
		if form == asJSON {
			return writeJSON(a.stdout, v)
		}
		commit := v.Commit
		if v.Modified {
			commit += " (modified)"
		}
		return a.say("auditlake %s\ncommit    %s\n%s %s\nDuckDB %s, iceberg-go %s, arrow-go %s, franz-go %s",
			v.Version, commit, v.Go, v.Platform, v.DuckDB, v.Iceberg, v.Arrow, v.Franz)
	}
	return cmd
}

func readVersions() versions {
	v := versions{
		Version: version, Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		DuckDB: "unknown", Iceberg: "unknown", Arrow: "unknown", Franz: "unknown",
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "devel"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/duckdb/duckdb-go/v2":
			v.DuckDB = duckDBVersion(m.Version)
		case "github.com/apache/iceberg-go":
			v.Iceberg = m.Version
		case "github.com/apache/arrow-go/v18":
			v.Arrow = m.Version
		case "github.com/twmb/franz-go":
			v.Franz = m.Version
		}
	}
	return v
}

// duckDBVersion takes the engine's version out of its Go module's: v2.10505.0
// is DuckDB 1.5.5.
func duckDBVersion(module string) string {
	parts := strings.Split(module, ".")
	if len(parts) < 2 {
		return module
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < 10000 {
		return module
	}
	return fmt.Sprintf("v%d.%d.%d", n/10000, n/100%100, n%100)
}
