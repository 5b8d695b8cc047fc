package catalog

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakeGlue speaks as much of AWS Glue's protocol as a catalog needs. It is written
// from AWS's documentation of the API: no real Glue was tried.
type fakeGlue struct {
	url string

	mu        sync.Mutex
	databases map[string]bool
	tables    map[string]map[string]any
	calls     []string
	fault     func(operation string) *glueFault // called with mu held
}

// glueFault is what goes wrong with one call.
type glueFault struct {
	landed bool
	status int // 0 cuts the connection
	code   string
}

func startGlue(t *testing.T) *fakeGlue {
	g := &fakeGlue{databases: map[string]bool{}, tables: map[string]map[string]any{}}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.url = server.URL
	t.Setenv("AWS_ACCESS_KEY_ID", "glue-key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "glue-secret")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return g
}

func (g *fakeGlue) config(t *testing.T) Config {
	return Config{Type: "glue", Warehouse: "file://" + t.TempDir(), Create: true, Glue: GlueConfig{Region: "eu-central-1", Endpoint: g.url, ID: "123456789012"}}
}

// failNext has the next call of an operation go wrong, once.
func (g *fakeGlue) failNext(operation string, fault glueFault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	armed := true
	g.fault = func(called string) *glueFault {
		if called != operation || !armed {
			return nil
		}
		armed = false
		return &fault
	}
}

func (g *fakeGlue) lose(landed bool) { g.failNext("UpdateTable", glueFault{landed: landed}) }

func (g *fakeGlue) count(operation string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.calls {
		if c == operation {
			n++
		}
	}
	return n
}

func (g *fakeGlue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in map[string]any
	_ = json.NewDecoder(r.Body).Decode(&in)
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AWSGlue.")
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, operation)
	if g.fault != nil {
		if f := g.fault(operation); f != nil {
			if f.landed {
				g.act(operation, in)
			}
			if f.status == 0 {
				panic(http.ErrAbortHandler)
			}
			g.answer(w, f.status, map[string]any{"__type": f.code, "Message": "a fault of the test"})
			return
		}
	}
	switch {
	case !strings.Contains(r.Header.Get("Authorization"), "Credential=glue-key/") || !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/glue/"):
		g.answer(w, 400, map[string]any{"__type": "UnrecognizedClientException", "Message": "not signed for here"})
	case in["CatalogId"] != "123456789012":
		g.answer(w, 400, map[string]any{"__type": "AccessDeniedException", "Message": "another account's catalog"})
	default:
		status, out := g.act(operation, in)
		g.answer(w, status, out)
	}
}

func (g *fakeGlue) answer(w http.ResponseWriter, status int, out map[string]any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}

func (g *fakeGlue) act(operation string, in map[string]any) (int, map[string]any) {
	fail := func(code string) (int, map[string]any) {
		return 400, map[string]any{"__type": code, "Message": operation}
	}
	database, _ := in["DatabaseName"].(string)
	name, _ := in["Name"].(string)
	input, _ := in["TableInput"].(map[string]any)
	if input != nil {
		name, _ = input["Name"].(string)
	}
	key := database + "." + name
	switch operation {
	case "CreateDatabase":
		name, _ := in["DatabaseInput"].(map[string]any)["Name"].(string)
		if g.databases[name] {
			return fail("AlreadyExistsException")
		}
		g.databases[name] = true
		return 200, map[string]any{}
	case "GetDatabase":
		if !g.databases[name] {
			return fail("EntityNotFoundException")
		}
		return 200, map[string]any{"Database": map[string]any{"Name": name}}
	}
	have, there := g.tables[key]
	switch {
	case operation == "CreateTable" && !g.databases[database], operation != "CreateTable" && !there:
		return fail("EntityNotFoundException")
	case operation == "CreateTable" && there:
		return fail("AlreadyExistsException")
	case operation == "UpdateTable" && in["VersionId"] != have["VersionId"]:
		return fail("ConcurrentModificationException")
	case operation == "GetTable":
		return 200, map[string]any{"Table": have}
	case operation == "DeleteTable":
		delete(g.tables, key)
		return 200, map[string]any{}
	case operation == "CreateTable", operation == "UpdateTable":
		version := 0
		if there {
			version, _ = strconv.Atoi(fmt.Sprint(have["VersionId"]))
			version++
		}
		input["DatabaseName"], input["VersionId"] = database, strconv.Itoa(version)
		g.tables[key] = input
		return 200, map[string]any{}
	}
	return fail("UnknownOperationException")
}
