package client_test

import (
	"archive/zip"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"berth/api"
	"berth/client"
)

// A body goes out while it is read, and is never held as a whole.
func TestDeployStreams(t *testing.T) {
	first := make(chan struct{})
	socket := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadFull(r.Body, make([]byte, 4)); err != nil {
			t.Error(err)
		}
		close(first)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"name":"demo"}`)
	}))
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.WriteString(pw, "head")
		<-first // the rest is written only once the daemon has the head
		_, _ = io.WriteString(pw, "tail")
		pw.Close()
	}()
	d, err := newClient(t, socket).Deploy(t.Context(), "x", pr)
	if err != nil || d.Name != "demo" {
		t.Errorf("Deploy = %+v, %v", d, err)
	}
}

// Files are sent as they are, folders are packed; what is wrong with one is
// told whatever the daemon says.
func TestDeployFile(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "demo")
	if err := os.MkdirAll(filepath.Join(folder, "META-INF"), 0o700); err != nil {
		t.Fatal(err)
	}
	const text = `<distribution name="demo" version="1.0"><process name="a"><generic profile="test"><arg value="true"/></generic></process></distribution>`
	xml := filepath.Join(folder, "META-INF", "corus.xml")
	if err := os.WriteFile(xml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(folder, "big")
	if err := os.WriteFile(big, []byte(strings.Repeat("0123456789abcdef", 1<<17)), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}

	got := make(chan seen, 8)
	var refuse atomic.Bool
	socket := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse.Load() {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"detail":"it is there already","code":"distribution-exists"}`)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got <- seen{uri: r.RequestURI, body: string(body)}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"name":"demo"}`)
	}))
	c := newClient(t, socket)

	if d, err := c.DeployFile(t.Context(), xml); err != nil || d.Name != "demo" {
		t.Fatalf("a file: %+v, %v", d, err)
	}
	if s := <-got; s.uri != "/v1/distributions?filename=corus.xml" || s.body != text {
		t.Errorf("a file was sent as %+v", s)
	}
	if d, err := c.DeployFile(t.Context(), folder); err != nil || d.Name != "demo" {
		t.Fatalf("a folder: %+v, %v", d, err)
	}
	s := <-got
	z, err := zip.NewReader(strings.NewReader(s.body), int64(len(s.body)))
	if err != nil {
		t.Fatal(err)
	}
	if f, err := z.Open("META-INF/corus.xml"); err != nil || s.uri != "/v1/distributions?filename=demo" {
		t.Errorf("a folder was sent to %s: %v", s.uri, err)
	} else {
		f.Close()
	}
	for _, path := range []string{empty, filepath.Join(dir, "none"), "/dev/null"} {
		if _, err := c.DeployFile(t.Context(), path); err == nil || errors.Is(err, client.ErrNoDaemon) {
			t.Errorf("%s: error %v", path, err)
		}
	}
	// An answer that comes before the folder is packed counts.
	refuse.Store(true)
	if _, err := c.DeployFile(t.Context(), folder); !errors.Is(err, api.CodeDistributionExists) && !errors.Is(err, client.ErrConnectionLost) {
		t.Errorf("a refused folder: %v", err)
	}
	if _, err := newClient(t, filepath.Join(dir, "none")).DeployFile(t.Context(), folder); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("a folder without a daemon: %v", err)
	}
}
