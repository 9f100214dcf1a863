package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/api"
	"berth/internal/require"
	"berth/shell"
)

// certMain writes a certificate for 127.0.0.1 that signs itself, and its key:
// cert FILE KEYFILE.
func certMain() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err == nil {
		err = writeCertificate(os.Args[1], os.Args[2], key)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cert:", err)
		os.Exit(1)
	}
}

func writeCertificate(certFile, keyFile string, key *ecdsa.PrivateKey) error {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "berth"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// What is said of access on the command line and in the environment, and what
// will not do.
func TestAccessSettings(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    shell.ServeOptions
		env  map[string]string
		want string // the error; empty for none
	}{
		{name: "nothing"},
		{name: "a group", o: shell.ServeOptions{SocketGroup: "0", SocketRole: "exec"}},
		{name: "a group of the environment", env: map[string]string{"BERTH_SOCKET_GROUP": "0", "BERTH_SOCKET_ROLE": "read", "BERTH_SOCKET_ALLOW": "1=lease"}},
		{name: "TLS", o: shell.ServeOptions{Listen: ":1", TLSCert: "c", TLSKey: "k"}},
		{name: "TLS of the environment", env: map[string]string{"BERTH_LISTEN": ":1", "BERTH_TLS_CERT": "c", "BERTH_TLS_KEY": "k"}},
		{name: "a role for nobody", o: shell.ServeOptions{SocketRole: "exec"}, want: "-socket-group"},
		{name: "no role", o: shell.ServeOptions{SocketGroup: "0", SocketRole: "king"}, want: `"king" is not a role`},
		{name: "no group", o: shell.ServeOptions{SocketGroup: "no-such-group-here"}, want: "there is no group"},
		{name: "no user", env: map[string]string{"BERTH_SOCKET_ALLOW": "no-such-user-here=read"}, want: "there is no user"},
		{name: "TCP without TLS", o: shell.ServeOptions{Listen: ":1"}, want: "-tls-cert and -tls-key"},
		{name: "no key", o: shell.ServeOptions{Listen: ":1", TLSCert: "c"}, want: "-tls-cert and -tls-key"},
		{name: "TLS without TCP", o: shell.ServeOptions{TLSCert: "c", TLSKey: "k"}, want: "-listen, which is missing"},
	} {
		d := newDaemon(pathsIn(t, t.TempDir()), nil)
		err := d.setAccess(tt.o, func(name string) string { return tt.env[name] })
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if tt.want == "" && (d.peers.IsOwners() == (tt.name == "a group" || tt.name == "a group of the environment") || (d.listen == ":1") != strings.HasPrefix(tt.name, "TLS")) {
			t.Errorf("%s: %+v %s", tt.name, d.peers, d.listen)
		}
	}
}

// asUser runs berth as another user, whose daemon is that of a socket.
func asUser(t *testing.T, uid, gid int, socket string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// The folder of the program is closed to others, which its link is not; it is
	// berth by its first argument.
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = append([]string{"berth"}, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"BERTH_SOCKET=" + socket, "BERTH_AUTOSTART=0", "HOME=/", "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{args, cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// A daemon whose socket is shared, asked by the real program as real other users.
func TestOtherUsers(t *testing.T) {
	t.Parallel()
	require.Root(t)
	dir, err := os.MkdirTemp("/tmp", "berth")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	const group, member, other = 61000, 61001, 61002
	socket := filepath.Join(dir, "run", "berth.sock")
	h := newHost(t)
	h.env = []string{"BERTH_SOCKET=" + socket, "BERTH_SOCKET_GROUP=" + strconv.Itoa(group), "BERTH_SOCKET_ROLE=lease"}
	h.client = clientOn(socket)
	m := portBlock(t)
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(m), "-max", strconv.Itoa(m+5))
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info.Mode(), err)
	}

	expect := func(r result, code int, out, errText string) {
		t.Helper()
		if r.code != code || !strings.Contains(r.out, out) || !strings.Contains(r.err, errText) || code != 0 && strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v, want exit code %d, %q and %q", r, code, out, errText)
		}
	}
	expect(asUser(t, member, group, socket, "port", "ls"), 0, "http", "")
	expect(asUser(t, member, group, socket, "token", "whoami"), 0, "uid-61001", "")
	expect(asUser(t, member, group, socket, "port", "del", "-n", "http"), 1, "", "user 61001 has the role lease, and this needs the role admin")
	expect(asUser(t, member, group, socket, "stop"), 1, "", "needs the role admin")
	expect(asUser(t, other, other, socket, "port", "ls"), 1, "", "the socket is not open to this user")

	var records []api.AuditRecord
	if err := json.Unmarshal([]byte(h.run("audit", "-o", "json")), &records); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		got = append(got, fmt.Sprintf("%d %s %d %s", *r.UID, r.Operation, r.Status, r.Code))
	}
	want := []string{"0 add-ranges 201 ", "61001 delete-ranges 403 forbidden", "61001 stop-daemon 403 forbidden"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("audited:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
