package access

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Peer is a process at the other end of the unix socket.
type Peer struct {
	UID, GID, PID int
	Groups        []int // the others of its groups
}

// Peers are the rules by which users of this machine may use the socket. The
// zero value is for root alone.
type Peers struct {
	// Owner is the user who may do everything, beside root: the one that the
	// daemon runs as.
	Owner int

	// Users and Groups have the roles of others, by their ids. The highest of
	// those that fit a peer counts.
	Users, Groups map[int]Role
}

// Role is what a peer may do.
func (p Peers) Role(peer Peer) Role {
	if peer.UID == 0 || peer.UID == p.Owner {
		return Admin
	}
	role := max(p.Users[peer.UID], p.Groups[peer.GID])
	for _, g := range peer.Groups {
		role = max(role, p.Groups[g])
	}
	return role
}

// Caller is who a peer is. Its leases are its user's.
func (p Peers) Caller(peer Peer) Caller {
	name := userName(peer.UID)
	c := Caller{Known: true, Role: p.Role(peer), UID: peer.UID, PID: peer.PID, User: name, Owner: name}
	if c.Owner == "" {
		c.Owner = "uid-" + strconv.Itoa(peer.UID)
	}
	return c
}

// IsOwners reports whether nobody has been given a role.
func (p Peers) IsOwners() bool { return len(p.Users)+len(p.Groups) == 0 }

// ParsePeers reads who but the owner may use the socket: the members of a group
// with a role (lease where none is given), and a list of NAME=ROLE, where NAME
// is a user or, behind an @, a group, each also by its number. It returns the id
// of the group, -1 where none is given. Errors are ErrInvalid.
func ParsePeers(owner int, group, role, list string) (p Peers, gid int, err error) {
	p = Peers{Owner: owner, Users: map[int]Role{}, Groups: map[int]Role{}}
	gid = -1
	if role != "" && group == "" {
		return p, gid, stated(ErrInvalid, "a role for the socket is that of a group: name the group with -socket-group")
	}
	if group != "" {
		if gid, err = groupID(group); err != nil {
			return p, gid, err
		}
		p.Groups[gid] = Lease
		if role != "" {
			if p.Groups[gid], err = ParseRole(role); err != nil {
				return p, gid, err
			}
		}
	}
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, role, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			return p, gid, stated(ErrInvalid, "%.64q is not USER=ROLE or @GROUP=ROLE", item)
		}
		r, err := ParseRole(role)
		if err != nil {
			return p, gid, fmt.Errorf("%s: %w", name, err)
		}
		ids, find := p.Users, userID
		if rest, ok := strings.CutPrefix(name, "@"); ok {
			ids, find, name = p.Groups, groupID, rest
		}
		id, err := find(name)
		if err != nil {
			return p, gid, err
		}
		ids[id] = max(ids[id], r)
	}
	return p, gid, nil
}

func userID(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, stated(ErrInvalid, "there is no user %.64q on this machine", name)
	}
	return strconv.Atoi(u.Uid)
}

func groupID(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, stated(ErrInvalid, "there is no group %.64q on this machine", name)
	}
	return strconv.Atoi(g.Gid)
}

// namesKept is how long the name of a user is remembered: looking it up reads a
// file, or asks a server of the network.
const namesKept = time.Minute

var names struct {
	sync.Mutex
	by map[int]knownName
}

type knownName struct {
	name string
	at   time.Time
}

// userName is the name of a user, empty where it has none.
func userName(uid int) string {
	names.Lock()
	known, ok := names.by[uid]
	names.Unlock()
	if ok && time.Since(known.at) < namesKept {
		return known.name
	}
	known = knownName{at: time.Now()}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		known.name = u.Username
	}
	names.Lock()
	defer names.Unlock()
	if names.by == nil || len(names.by) > 10_000 {
		names.by = make(map[int]knownName)
	}
	names.by[uid] = known
	return known.name
}
