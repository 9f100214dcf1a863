package lease_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"berth/lease"
)

func sample() lease.Lease {
	return lease.Lease{ID: "0123456789abc", Generation: 3, Range: "http", Protocol: lease.TCP, Scope: lease.HostScope, Port: 8080, Host: "local",
		Holder: lease.Holder{Kind: lease.Process, Name: "httpServer #1 (demo 1.0) ä", Process: 7},
		Since:  time.Date(2026, 11, 22, 15, 27, 55, 123456789, time.UTC)}
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

func TestRecordDamage(t *testing.T) {
	l := sample()
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
	} {
		l := sample()
		c.change(&l)
		refused(c.name, l.Key(), l.Record())
	}
}

func FuzzParseRecord(f *testing.F) {
	l := sample()
	f.Add(l.Key(), l.Record(), false)
	f.Add(l.Key(), l.Record(), true)
	f.Add("leases/cluster/udp/00001", []byte{1, 2, 0, 0, 0, 1, 'x'}, true)
	f.Fuzz(func(t *testing.T, key string, record []byte, sum bool) {
		if sum {
			// Else the checksum would keep everything from what comes after it.
			table := crc32.MakeTable(crc32.Castagnoli)
			record = binary.BigEndian.AppendUint32(record[:len(record):len(record)], crc32.Update(crc32.Checksum(record, table), table, []byte(key)))
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
