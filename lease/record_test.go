package lease_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/proc"
)

func sample() lease.Lease {
	return lease.Lease{ID: "0123456789abc", Generation: 3, Range: "http", Protocol: lease.TCP, Scope: lease.HostScope, Port: 8080, Host: "local",
		Holder: lease.Holder{Kind: lease.Process, Name: "httpServer #1 (demo 1.0) ä", Process: 7},
		Since:  time.Date(2026, 11, 22, 15, 27, 55, 123456789, time.UTC)}
}

// full is a lease whose holder has all that version 2 of a record is for.
func full() lease.Lease {
	l := sample()
	l.Holder = lease.Holder{
		Kind: lease.Session, Name: "bash", Owner: "ci ä", TTL: 30 * time.Second, Expires: time.Date(2026, 11, 22, 16, 0, 0, 7, time.UTC),
		Identity: lease.Identity{Identity: proc.Identity{BootID: "3e1f", PID: 4711, StartTime: 1<<64 - 1, Inode: 1 << 40}, Namespace: 4026531836},
	}
	return l
}

func TestRecordReadsWhatWasWritten(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*lease.Lease)
		key    string
	}{
		{"usual", func(*lease.Lease) {}, "leases/host-local/tcp/08080"},
		{"cluster", func(l *lease.Lease) { l.Scope, l.Host = lease.ClusterScope, "b" }, "leases/cluster/tcp/08080"},
		{"udp, first port", func(l *lease.Lease) { l.Protocol, l.Port = lease.UDP, 1 }, "leases/host-local/udp/00001"},
		{"last port", func(l *lease.Lease) { l.Port = 65535 }, "leases/host-local/tcp/65535"},
		{"host with a dash", func(l *lease.Lease) { l.Host = "a-b.c" }, "leases/host-a-b.c/tcp/08080"},
		{"no range", func(l *lease.Lease) { l.Range = "" }, "leases/host-local/tcp/08080"},
		{"no holder", func(l *lease.Lease) { l.Holder = lease.Holder{} }, "leases/host-local/tcp/08080"},
		{"long ago", func(l *lease.Lease) { l.Since = time.Date(1900, 1, 1, 0, 0, 0, 1, time.UTC) }, "leases/host-local/tcp/08080"},
		{"no time", func(l *lease.Lease) { l.Since = time.Time{} }, "leases/host-local/tcp/08080"},
		{"all of version 2", func(l *lease.Lease) { *l = full() }, "leases/host-local/tcp/08080"},
		{"an owner", func(l *lease.Lease) { l.Holder.Owner = "x" }, "leases/host-local/tcp/08080"},
		{"an end", func(l *lease.Lease) { l.Holder.Expires = time.Unix(1, 0).UTC() }, "leases/host-local/tcp/08080"},
		{"a time to live", func(l *lease.Lease) { l.Holder.TTL = 1 }, "leases/host-local/tcp/08080"},
		{"an identity", func(l *lease.Lease) { l.Holder.Identity.PID = 1 }, "leases/host-local/tcp/08080"},
		{"long name", func(l *lease.Lease) { l.Holder.Name = strings.Repeat("x", 5000) }, "leases/host-local/tcp/08080"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := sample()
			c.change(&l)
			if l.Key() != c.key {
				t.Errorf("key %q, want %q", l.Key(), c.key)
			}
			got, err := lease.ParseRecord(l.Key(), l.Record())
			if err != nil || got != l {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, l)
			}
		})
	}
}

// What a program before this one has written is read, and stays as it is.
func TestRecordOfVersion1(t *testing.T) {
	l := sample()
	const key, written = "leases/host-local/tcp/08080", "\x01\x06\x0e\xf6\xa7\x98\xb0\x0d\xaa\xb4\xdeu\x0d0123456789abc\x04http\x05local\x07process\x1bhttpServer #1 (demo 1.0) \xc3\xa4"
	record := withSum(key, []byte(written))
	got, err := lease.ParseRecord(key, record)
	if err != nil || got != l {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, l)
	}
	if again := got.Record(); !bytes.Equal(again, record) {
		t.Errorf("it is written as\n%q, and was\n%q", again, record)
	}
	// A record of version 2 has something that this one is not for.
	empty := append([]byte{2}, written[1:]...)
	empty = binary.AppendVarint(empty, time.Time{}.Unix())
	empty = append(empty, 0, 0, 0, 0, 0, 0, 0, 0)
	if got, err := lease.ParseRecord(key, withSum(key, empty)); !errors.Is(err, lease.ErrRecord) || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("version 2 without need: %+v, %v", got, err)
	}
	if v := full().Record()[0]; v != 2 {
		t.Errorf("a holder with more has a record of version %d", v)
	}
}

// withSum puts the checksum of a record behind it.
func withSum(key string, record []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Checksum(record, table)
	for _, c := range []byte(key) {
		sum = table[byte(sum)^c] ^ sum>>8
	}
	return binary.BigEndian.AppendUint32(record[:len(record):len(record)], sum)
}

func TestRecordDamage(t *testing.T) {
	for _, l := range []lease.Lease{sample(), full()} {
		testRecordDamage(t, l)
	}
}

func testRecordDamage(t *testing.T, l lease.Lease) {
	key, good := l.Key(), l.Record()
	refused := func(what, key string, record []byte) {
		t.Helper()
		if got, err := lease.ParseRecord(key, record); !errors.Is(err, lease.ErrRecord) || got != (lease.Lease{}) {
			t.Errorf("%s: %+v, %v, want ErrRecord", what, got, err)
		}
	}
	for n := range good {
		refused("cut off", key, good[:n])
	}
	for i := range 8 * len(good) {
		bad := append([]byte(nil), good...)
		bad[i/8] ^= 1 << (i % 8)
		refused("a bit turned over", key, bad)
	}
	refused("more after its end", key, append(append([]byte(nil), good...), 0))
	for _, other := range []string{
		"", "leases/", "leases/host-local/tcp", "leases/host-local/tcp/8080", "leases/host-local/tcp/08081", "leases/host-local/udp/08080",
		"leases/host-other/tcp/08080", "leases/cluster/tcp/08080", "leases/host-/tcp/08080", "leases/rack/tcp/08080", "leases/host-local/sctp/08080",
		"leases/host-local/tcp/00000", "leases/host-local/tcp/65536", "leases/host-local/tcp/-0080", "leases/host-local/tcp/+8080",
		"leases/host-local/tcp/08080/x", "host-local/tcp/08080", "ranges/http",
	} {
		refused("key "+other, other, good)
	}
	for _, c := range []struct {
		name   string
		change func(*lease.Lease)
	}{
		{"no id", func(l *lease.Lease) { l.ID = "" }},
		{"no generation", func(l *lease.Lease) { l.Generation = 0 }},
		{"process below 0", func(l *lease.Lease) { l.Holder.Process = -1 }},
		{"text that is not UTF-8", func(l *lease.Lease) { l.Holder.Name = "\xff" }},
		{"no host", func(l *lease.Lease) { l.Scope, l.Host = lease.ClusterScope, "" }},
		{"pid below 0", func(l *lease.Lease) { l.Holder.Identity.PID = -1 }},
		{"a time to live below 0", func(l *lease.Lease) { l.Holder.TTL = -1 }},
		{"an owner that is not UTF-8", func(l *lease.Lease) { l.Holder.Owner = "\xff" }},
	} {
		l := l
		c.change(&l)
		refused(c.name, l.Key(), l.Record())
	}
}

func FuzzParseRecord(f *testing.F) {
	l := sample()
	f.Add(l.Key(), l.Record(), false)
	f.Add(l.Key(), l.Record(), true)
	more := full()
	f.Add(more.Key(), more.Record(), false)
	f.Add(more.Key(), more.Record()[:len(more.Record())-4], true)
	f.Add(l.Key(), append([]byte{2}, l.Record()[1:len(l.Record())-4]...), true)
	f.Add("leases/cluster/udp/00001", []byte{1, 2, 0, 0, 0, 1, 'x'}, true)
	f.Fuzz(func(t *testing.T, key string, record []byte, sum bool) {
		if sum {
			// Else the checksum would keep everything from what comes after it.
			record = withSum(key, record)
		}
		l, err := lease.ParseRecord(key, record)
		if err != nil {
			if !errors.Is(err, lease.ErrRecord) {
				t.Errorf("%v is not ErrRecord", err)
			}
			return
		}
		if l.Key() != key {
			t.Errorf("key %q, of a record read from %q", l.Key(), key)
		}
		again, err := lease.ParseRecord(key, l.Record())
		if err != nil || again != l {
			t.Errorf("written and read again: %+v, %v, want %+v", again, err, l)
		}
	})
}
