package client_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/access"
	"berth/api"
	"berth/client"
	"berth/server"
)

// calls has what the client has for each operation of the OpenAPI document.
var calls = map[string]func(ctx context.Context, c *client.Client) error{
	"get-daemon":    func(ctx context.Context, c *client.Client) error { return second(c.Daemon(ctx)) },
	"stop-daemon":   func(ctx context.Context, c *client.Client) error { return second(c.StopDaemon(ctx)) },
	"get-document":  func(ctx context.Context, c *client.Client) error { return second(c.Document(ctx)) },
	"get-health":    func(ctx context.Context, c *client.Client) error { return second(c.Health(ctx)) },
	"accept-damage": func(ctx context.Context, c *client.Client) error { return second(c.AcceptDamage(ctx)) },

	"fix-kernel": func(ctx context.Context, c *client.Client) error { return second(c.FixKernel(ctx)) },

	"get-port":    func(ctx context.Context, c *client.Client) error { return second(c.PortWho(ctx, "tcp", 80)) },
	"list-ranges": func(ctx context.Context, c *client.Client) error { return second(c.Ranges(ctx, "h*")) },
	"add-ranges":  func(ctx context.Context, c *client.Client) error { return second(c.AddRanges(ctx, api.AddRanges{})) },
	"update-range": func(ctx context.Context, c *client.Client) error {
		return second(c.UpdateRange(ctx, "http", api.UpdateRange{Max: 3}))
	},
	"delete-ranges":  func(ctx context.Context, c *client.Client) error { return second(c.DeleteRanges(ctx, "http", false)) },
	"archive-ranges": func(ctx context.Context, c *client.Client) error { return second(c.ArchiveRanges(ctx, "r1")) },
	"restore-ranges": func(ctx context.Context, c *client.Client) error { return second(c.RestoreRanges(ctx, "r1")) },

	"list-leases": func(ctx context.Context, c *client.Client) error { return second(c.Leases(ctx)) },
	"acquire-leases": func(ctx context.Context, c *client.Client) error {
		return second(c.AcquireLeases(ctx, api.AcquireLeases{}))
	},
	"renew-lease": func(ctx context.Context, c *client.Client) error {
		return second(c.RenewLease(ctx, "x", 1, time.Minute))
	},
	"release-leases": func(ctx context.Context, c *client.Client) error {
		return second(c.ReleaseLeases(ctx, api.ReleaseLeases{Owner: "ci"}))
	},
	"release-lease": func(ctx context.Context, c *client.Client) error { return c.ReleaseLease(ctx, "x", 1) },

	"list-distributions": func(ctx context.Context, c *client.Client) error { return second(c.Distributions(ctx, "d", "1")) },
	"deploy-distribution": func(ctx context.Context, c *client.Client) error {
		return second(c.Deploy(ctx, "corus.xml", strings.NewReader("x")))
	},
	"undeploy-distributions": func(ctx context.Context, c *client.Client) error { return second(c.UndeployTo(ctx, "d", "1", "r1")) },
	"deploy-archive":         func(ctx context.Context, c *client.Client) error { return second(c.DeployArchived(ctx, "r1")) },

	"exec-processes": func(ctx context.Context, c *client.Client) error { return second(c.Exec(ctx, api.Exec{})) },
	"list-processes": func(ctx context.Context, c *client.Client) error {
		return second(c.ProcessesUsing(ctx, api.Selector{IDs: []int{1}}, true))
	},
	"get-process":       func(ctx context.Context, c *client.Client) error { return second(c.Process(ctx, 7)) },
	"get-process-info":  func(ctx context.Context, c *client.Client) error { return second(c.ProcessInfo(ctx, 7)) },
	"kill-processes":    func(ctx context.Context, c *client.Client) error { return second(c.Kill(ctx, api.Kill{})) },
	"restart-processes": func(ctx context.Context, c *client.Client) error { return second(c.Restart(ctx, api.Restart{})) },
	"reload-processes":  func(ctx context.Context, c *client.Client) error { return second(c.Reload(ctx, api.Reload{})) },
	"get-output": func(ctx context.Context, c *client.Client) error {
		out, err := c.Output(ctx, 7, client.Output{})
		if err == nil {
			out.Close()
		}
		return err
	},
	"diagnose-processes": func(ctx context.Context, c *client.Client) error { return second(c.Diagnoses(ctx, api.Selector{})) },

	"list-execs": func(ctx context.Context, c *client.Client) error { return second(c.ExecConfigs(ctx, "")) },
	"deploy-exec": func(ctx context.Context, c *client.Client) error {
		return second(c.DeployExec(ctx, "exec.xml", strings.NewReader("x")))
	},
	"undeploy-execs": func(ctx context.Context, c *client.Client) error { return second(c.UndeployExecs(ctx, "site")) },
	"enable-execs":   func(ctx context.Context, c *client.Client) error { return second(c.EnableExecs(ctx, "site", true)) },

	"list-properties": func(ctx context.Context, c *client.Client) error {
		return second(c.Properties(ctx, api.PropertySelection{}))
	},
	"export-properties": func(ctx context.Context, c *client.Client) error {
		return second(c.PropertyValues(ctx, api.PropertySelection{}))
	},
	"add-properties": func(ctx context.Context, c *client.Client) error {
		return second(c.AddProperties(ctx, api.AddProperties{}))
	},
	"delete-properties": func(ctx context.Context, c *client.Client) error {
		return second(c.DeleteProperties(ctx, api.PropertySelection{Names: []string{"a"}}))
	},
	"list-tags":   func(ctx context.Context, c *client.Client) error { return second(c.Tags(ctx, "")) },
	"add-tags":    func(ctx context.Context, c *client.Client) error { return second(c.AddTags(ctx, api.AddTags{})) },
	"delete-tags": func(ctx context.Context, c *client.Client) error { return second(c.DeleteTags(ctx, "web")) },
	"rename-tags": func(ctx context.Context, c *client.Client) error { return second(c.RenameTags(ctx, api.RenameTags{})) },

	"archive-settings": func(ctx context.Context, c *client.Client) error {
		return second(c.ArchiveSettings(ctx, "r1", api.KindTags))
	},
	"restore-settings": func(ctx context.Context, c *client.Client) error {
		return second(c.RestoreSettings(ctx, "r1", api.KindTags))
	},
	"archive": func(ctx context.Context, c *client.Client) error { return second(c.Archive(ctx, "r1")) },
	"restore": func(ctx context.Context, c *client.Client) error { return second(c.Unarchive(ctx, "r1")) },

	"list-tokens":   func(ctx context.Context, c *client.Client) error { return second(c.Tokens(ctx, "")) },
	"add-token":     func(ctx context.Context, c *client.Client) error { return second(c.AddToken(ctx, api.AddToken{})) },
	"delete-tokens": func(ctx context.Context, c *client.Client) error { return second(c.DeleteTokens(ctx, "ci")) },
	"list-quotas":   func(ctx context.Context, c *client.Client) error { return second(c.Quotas(ctx)) },
	"set-quota": func(ctx context.Context, c *client.Client) error {
		return second(c.SetQuota(ctx, "ci", api.SetQuota{Max: 3}))
	},
	"delete-quota": func(ctx context.Context, c *client.Client) error { return c.DeleteQuota(ctx, "ci") },
	"get-whoami":   func(ctx context.Context, c *client.Client) error { return second(c.Whoami(ctx)) },
	"list-audit":   func(ctx context.Context, c *client.Client) error { return second(c.Audit(ctx, 5)) },
	"follow-audit": func(ctx context.Context, c *client.Client) error {
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond) // it has no end
		defer cancel()
		for _, err := range c.FollowAudit(ctx, 1) {
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	},

	"stream-events": func(ctx context.Context, c *client.Client) error {
		for _, err := range c.Events(ctx, client.Events{}) {
			return err
		}
		return nil
	},
}

func second[T any](_ T, err error) error { return err }

// documented is an operation of the OpenAPI document.
type documented struct {
	OperationID string
	Responses   map[string]struct {
		Content map[string]struct{ Example json.RawMessage }
	}
}

// Each operation of the document has its call: it asks that route and no other,
// and reads the answer that the document has as its example.
func TestEveryOperation(t *testing.T) {
	w := httptest.NewRecorder()
	server.New(server.Options{}).ServeHTTP(w, httptest.NewRequestWithContext(access.With(t.Context(), access.Caller{Known: true, Role: access.Read}), "GET", "/openapi.json", nil))
	var doc struct {
		Paths map[string]map[string]documented
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || len(doc.Paths) == 0 {
		t.Fatal(w.Code, err)
	}
	document := w.Body.String()

	var mu sync.Mutex
	var asked []string
	stopped := func() {}
	mux := http.NewServeMux()
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			ids[op.OperationID] = true
			mux.HandleFunc(strings.ToUpper(method)+" "+path, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, op.OperationID)
				for status, response := range op.Responses {
					if status[0] != '2' {
						continue
					}
					for kind, media := range response.Content {
						w.Header().Set("Content-Type", kind)
						answer := string(media.Example)
						switch op.OperationID {
						case "get-daemon":
							answer = strings.Replace(answer, `"pid":812`, `"pid":4194305`, 1) // above all that there are
						case "get-document":
							answer = document
						}
						_, _ = io.WriteString(w, answer)
						return
					}
					w.WriteHeader(http.StatusNoContent)
				}
				if op.OperationID == "stop-daemon" {
					stopped()
				}
			})
		}
	}
	for id := range calls {
		if !ids[id] {
			t.Errorf("there is a call for %s, which is no operation", id)
		}
	}
	c := newClient(t, listen(t, mux))
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		t.Run(id, func(t *testing.T) {
			call, ok := calls[id]
			if !ok {
				t.Fatal("the client has nothing for it: add a method, and its call here")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			mu.Lock()
			asked = nil
			stopped = cancel
			mu.Unlock()
			err := call(ctx, c)
			if err != nil && id != "stop-daemon" { // which waits for an end that does not come
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Contains(asked, id) {
				t.Errorf("the call asks %v", asked)
			}
		})
	}
}
