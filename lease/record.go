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
//	version  1 byte, 1
//	generation, process, seconds, nanoseconds  varints
//	id, range, host, kind, holder name         each a varint length and bytes
//	checksum of the key and all before it      4 bytes, CRC-32C
//
// The key tells scope, protocol and port.
const recordVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is the lease as the store keeps it under its Key.
func (l Lease) Record() []byte { return l.record(l.Key()) }

func (l Lease) record(key string) []byte {
	b := make([]byte, 0, 40+len(l.ID)+len(l.Range)+len(l.Host)+len(l.Holder.Kind)+len(l.Holder.Name))
	b = append(b, recordVersion)
	b = binary.AppendVarint(b, l.Generation)
	b = binary.AppendVarint(b, int64(l.Holder.Process))
	b = binary.AppendVarint(b, l.Since.Unix())
	b = binary.AppendVarint(b, int64(l.Since.Nanosecond()))
	for _, s := range [...]string{string(l.ID), l.Range, l.Host, string(l.Holder.Kind), l.Holder.Name} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return binary.BigEndian.AppendUint32(b, recordSum(key, b))
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
	if record[0] != recordVersion {
		return bad(fmt.Sprintf("its version is %d, this program reads %d", record[0], recordVersion))
	}
	body := record[:len(record)-4]
	if binary.BigEndian.Uint32(record[len(body):]) != recordSum(key, body) {
		return bad("its checksum is wrong")
	}
	var number [4]int64
	rest := body[1:]
	for i := range number {
		n, size := binary.Varint(rest)
		if size <= 0 {
			return bad("it is cut off")
		}
		number[i], rest = n, rest[size:]
	}
	var text [5]string
	for i := range text {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return bad("it is cut off")
		}
		field := rest[size : size+int(n)]
		if !utf8.Valid(field) {
			return bad("it has text that is not UTF-8")
		}
		text[i], rest = string(field), rest[size+int(n):]
	}
	l = Lease{
		ID: ID(text[0]), Generation: number[0], Range: text[1], Protocol: p, Scope: scope, Port: port, Host: text[2],
		Holder: Holder{Kind: HolderKind(text[3]), Name: text[4], Process: int(number[1])},
		Since:  time.Unix(number[2], number[3]).UTC(),
	}
	switch {
	case len(rest) != 0:
		return bad("it has bytes after its end")
	case l.ID == "":
		return bad("it has no id")
	case l.Generation < 1:
		return bad("its generation is below 1")
	case scope == HostScope && l.Host != host:
		return bad(fmt.Sprintf("it is of host %q", l.Host))
	case l.Host == "":
		return bad("it has no host")
	case number[1] < 0:
		return bad("its process is below 0")
	case number[3] < 0 || number[3] >= int64(time.Second):
		return bad("its nanoseconds are not those of a second")
	}
	return l, nil
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
