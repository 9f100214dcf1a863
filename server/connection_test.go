package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"berth/api"
	"berth/launcher"
	"berth/server"
)

func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A thousand clients that send nothing, half a header, half a body or an upload that stops keep
// nobody from being answered, and cost the server no more than its connections.
// One who follows an output stays connected.
func TestSlowClients(t *testing.T) {
	const most, slow = 50, 1000
	r := newRig(t, func(o *server.Options) { o.MaxConnections = most })
	r.processes.processes = []launcher.Process{newProcess(1)}
	r.processes.write(t, 1, "first\n")
	resp, err := r.client.Get("http://berth/v1/processes/1/output?follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	followed := bufio.NewReader(resp.Body)
	if line, err := followed.ReadString('\n'); line != "first\n" {
		t.Fatal(line, err)
	}

	before := descriptors(t)
	for i := range slow {
		conn := dial(t, r.socket)
		text := []string{"",
			"POST /v1/leases HTTP/1.1\r\nHost: b",
			"POST /v1/leases HTTP/1.1\r\nHost: berth\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{",
			"POST /v1/distributions?filename=x HTTP/1.1\r\nHost: berth\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"}[i%4]
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			if status, body := r.do(t, "POST", "/v1/leases", `{"ranges":["http"]}`); status != 201 {
				t.Fatalf("after %d slow clients: %d %s", i, status, body)
			}
			r.client.CloseIdleConnections()
		}
	}
	if status, body := r.do(t, "GET", "/v1/ranges", ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	// The slow ones' own ends are in this process too. An upload has a file.
	if n := descriptors(t) - before - slow; n > 2*most {
		t.Errorf("the server has %d descriptors open for at most %d connections", n, most)
	}
	r.processes.write(t, 1, "second\n")
	if line, err := followed.ReadString('\n'); line != "second\n" {
		t.Errorf("followed: %q %v", line, err)
	}
}

// Where every connection is at work a new one is told so, and those at work are
// answered.
func TestConnectionsAtWork(t *testing.T) {
	r := newRig(t, func(o *server.Options) { o.MaxConnections = 2 })
	begun, release := make(chan struct{}), make(chan struct{})
	r.processes.exec = func(context.Context, launcher.ExecRequest) (launcher.ExecResult, error) {
		begun <- struct{}{}
		<-release
		return launcher.ExecResult{}, nil
	}
	answers := make(chan int, 2)
	for range cap(answers) {
		go func() {
			resp, err := r.client.Post("http://berth/v1/processes", "application/json", strings.NewReader(`{"distribution":"demo","version":"1.0","profile":"test"}`))
			if err != nil {
				answers <- 0
				return
			}
			resp.Body.Close()
			answers <- resp.StatusCode
		}()
		<-begun
	}
	conn := dial(t, r.socket)
	conn.SetDeadline(time.Now().Add(time.Minute))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if resp.StatusCode != 503 || !strings.Contains(string(text), `"`+string(api.CodeBusy)+`"`) {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	close(release)
	for range cap(answers) {
		if status := <-answers; status != 201 {
			t.Errorf("at work: %d", status)
		}
	}
}
