package lease

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The folders of the store that are the manager's alone.
const (
	rangeFolder   = "ranges/"
	leaseFolder   = "leases/"
	archiveFolder = "archives/ranges/"
)

// Key is the lease's key in the store: leases/<scope>/<protocol>/<port>, where
// the scope is cluster or host-<host> and the port has five digits. So a port
// can have one lease only in its scope, and keys are in the order of the ports.
func (l Lease) Key() string {
	b := make([]byte, 0, 64)
	b = append(b, leaseFolder...)
	b = append(b, scopeKey(l.Scope, l.Host)...)
	b = append(b, '/')
	b = append(b, l.Protocol...)
	b = append(b, '/')
	for unit := 10000; unit > 0; unit /= 10 {
		b = append(b, byte('0'+l.Port/unit%10))
	}
	return string(b)
}

// scopeKey is the part of a lease's key that tells among whom its port is shared out.
func scopeKey(s Scope, host string) string {
	if s == ClusterScope {
		return string(ClusterScope)
	}
	return "host-" + host
}

// parseKey reads the key of a lease; host is empty for a lease of ClusterScope.
func parseKey(key string) (scope Scope, host string, p Protocol, port int, err error) {
	part := strings.Split(strings.TrimPrefix(key, leaseFolder), "/")
	if len(part) != 3 || !strings.HasPrefix(key, leaseFolder) {
		return "", "", "", 0, stated(ErrRecord, "key %q is not that of a lease", key)
	}
	if h, ok := strings.CutPrefix(part[0], "host-"); ok && h != "" {
		scope, host = HostScope, h
	} else if part[0] == string(ClusterScope) {
		scope = ClusterScope
	} else {
		return "", "", "", 0, stated(ErrRecord, "key %q: scope %q is not known", key, part[0])
	}
	if p = Protocol(part[1]); p != TCP && p != UDP {
		return "", "", "", 0, stated(ErrRecord, "key %q: protocol %q is not known", key, part[1])
	}
	port, err = strconv.Atoi(part[2])
	if err != nil || len(part[2]) != 5 || port < MinPort || port > MaxPort {
		return "", "", "", 0, stated(ErrRecord, "key %q: %q is not a port of five digits", key, part[2])
	}
	return scope, host, p, port, nil
}

// A lease's record is binary, because a start reads one for each lease:
//
//	version  1 byte, 1 or 2
//	generation, process, seconds, nanoseconds  varints
//	id, range, host, kind, holder name         each a varint length and bytes
//	checksum of the key and all before it      4 bytes, CRC-32C
//
// The key tells scope, protocol and port. Version 2 has before the checksum
//
//	seconds and nanoseconds of the end of a session, its time to live
//	in nanoseconds, the pid of a process       varints
//	its start time, its inode, its namespace   unsigned varints
//	owner, boot id                             each a varint length and bytes
//
// and is written for leases that have any of these: all others stay as they
// always were.
const (
	recordVersion = 1
	holderVersion = 2
)

// hasMore reports whether a holder needs a record of version 2.
func (h Holder) hasMore() bool {
	return h.Owner != "" || h.TTL != 0 || !h.Expires.IsZero() || !h.Identity.IsZero()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is the lease as the store keeps it under its Key.
func (l Lease) Record() []byte { return l.record(l.Key()) }

func (l Lease) record(key string) []byte {
	b := make([]byte, 0, 40+len(l.ID)+len(l.Range)+len(l.Host)+len(l.Holder.Kind)+len(l.Holder.Name))
	more := l.Holder.hasMore()
	if more {
		b = append(b, holderVersion)
	} else {
		b = append(b, recordVersion)
	}
	b = binary.AppendVarint(b, l.Generation)
	b = binary.AppendVarint(b, int64(l.Holder.Process))
	b = binary.AppendVarint(b, l.Since.Unix())
	b = binary.AppendVarint(b, int64(l.Since.Nanosecond()))
	for _, s := range [...]string{string(l.ID), l.Range, l.Host, string(l.Holder.Kind), l.Holder.Name} {
		b = appendText(b, s)
	}
	if more {
		b = l.Holder.appendMore(b)
	}
	return binary.BigEndian.AppendUint32(b, recordSum(key, b))
}

// appendMore writes what version 2 has of a holder.
func (h Holder) appendMore(b []byte) []byte {
	b = binary.AppendVarint(b, h.Expires.Unix())
	b = binary.AppendVarint(b, int64(h.Expires.Nanosecond()))
	b = binary.AppendVarint(b, int64(h.TTL))
	b = binary.AppendVarint(b, int64(h.Identity.PID))
	b = binary.AppendUvarint(b, h.Identity.StartTime)
	b = binary.AppendUvarint(b, h.Identity.Inode)
	b = binary.AppendUvarint(b, h.Identity.Namespace)
	b = appendText(b, h.Owner)
	return appendText(b, h.Identity.BootID)
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func recordSum(key string, b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b)
	for i := 0; i < len(key); i++ {
		sum = castagnoli[byte(sum)^key[i]] ^ sum>>8
	}
	return sum
}

// ParseRecord reads the lease that a store has under key. What is not a
// well-formed record of that key is ErrRecord.
func ParseRecord(key string, record []byte) (Lease, error) {
	var l Lease
	scope, host, p, port, err := parseKey(key)
	if err != nil {
		return l, err
	}
	bad := func(why string) (Lease, error) {
		return Lease{}, stated(ErrRecord, "lease record of key %q: %s", key, why)
	}
	if len(record) < 5 {
		return bad("it is too short")
	}
	if v := record[0]; v != recordVersion && v != holderVersion {
		return bad(fmt.Sprintf("its version is %d, this program reads %d and %d", v, recordVersion, holderVersion))
	}
	body := record[:len(record)-4]
	if binary.BigEndian.Uint32(record[len(body):]) != recordSum(key, body) {
		return bad("its checksum is wrong")
	}
	r := recordReader{rest: body[1:]}
	l = Lease{Generation: r.number(), Protocol: p, Scope: scope, Port: port}
	process, seconds, nanoseconds := r.number(), r.number(), r.number()
	l.ID, l.Range, l.Host = ID(r.text()), r.text(), r.text()
	l.Holder = Holder{Kind: HolderKind(r.text()), Name: r.text(), Process: int(process)}
	l.Since = time.Unix(seconds, nanoseconds).UTC()
	if record[0] == holderVersion {
		r.more(&l.Holder)
	}
	switch {
	case r.wrong != "":
		return bad(r.wrong)
	case len(r.rest) != 0:
		return bad("it has bytes after its end")
	case l.ID == "":
		return bad("it has no id")
	case l.Generation < 1:
		return bad("its generation is below 1")
	case scope == HostScope && l.Host != host:
		return bad(fmt.Sprintf("it is of host %q", l.Host))
	case l.Host == "":
		return bad("it has no host")
	case process < 0:
		return bad("its process is below 0")
	case nanoseconds < 0 || nanoseconds >= int64(time.Second):
		return bad("its nanoseconds are not those of a second")
	}
	return l, nil
}

// recordReader reads the fields of a record. What is wrong with the first one
// that cannot be read it keeps; that and all after it are zero.
type recordReader struct {
	rest  []byte
	wrong string
}

func (r *recordReader) fail(why string) {
	if r.wrong == "" {
		r.wrong = why
	}
	r.rest = nil
}

func (r *recordReader) number() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.fail("it is cut off")
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *recordReader) unsigned() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail("it is cut off")
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *recordReader) text() string {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)-size) {
		r.fail("it is cut off")
		return ""
	}
	field := r.rest[size : size+int(n)]
	if !utf8.Valid(field) {
		r.fail("it has text that is not UTF-8")
		return ""
	}
	r.rest = r.rest[size+int(n):]
	return string(field)
}

// more reads what version 2 has of a holder.
func (r *recordReader) more(h *Holder) {
	seconds, nanoseconds := r.number(), r.number()
	ttl, pid := r.number(), r.number()
	h.Expires, h.TTL = time.Unix(seconds, nanoseconds).UTC(), time.Duration(ttl)
	h.Identity.PID, h.Identity.StartTime, h.Identity.Inode, h.Identity.Namespace = int(pid), r.unsigned(), r.unsigned(), r.unsigned()
	h.Owner, h.Identity.BootID = r.text(), r.text()
	switch {
	case r.wrong != "":
	case nanoseconds < 0 || nanoseconds >= int64(time.Second):
		r.fail("the nanoseconds of its end are not those of a second")
	case ttl < 0:
		r.fail("its time to live is below 0")
	case pid < 0:
		r.fail("the pid of its holder is below 0")
	case !h.hasMore():
		r.fail("it has nothing that its version is for")
	}
}

// rangeRecord is a range as the store keeps it. In an archive it has its name,
// elsewhere its key tells it.
type rangeRecord struct {
	Name     string   `json:"name,omitempty"`
	Min      int      `json:"min"`
	Max      int      `json:"max"`
	Protocol Protocol `json:"protocol"`
	Scope    Scope    `json:"scope"`

	// Records of older programs do not have these.
	Policy    Policy `json:"policy,omitempty"`
	Static    int    `json:"static,omitempty"`
	Ephemeral bool   `json:"ephemeral,omitempty"`

	Description string `json:"description,omitempty"`
}

func (r Range) record() []byte {
	rec := rangeRecord(r)
	rec.Name = ""
	b, _ := json.Marshal(rec) // cannot fail: numbers and strings
	return b
}

func parseRange(key string, record []byte) (Range, error) {
	var rec rangeRecord
	if err := json.Unmarshal(record, &rec); err != nil {
		return Range{}, stated(ErrRecord, "range record of key %q: %v", key, err)
	}
	r := Range(rec)
	r.Name = strings.TrimPrefix(key, rangeFolder)
	if err := r.Validate(); err != nil {
		return Range{}, stated(ErrRecord, "range record of key %q: %v", key, err)
	}
	return r.normal(), nil
}
