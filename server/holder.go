package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/access"
	"berth/api"
	"berth/lease"
	"berth/proc"
)

var (
	errHolderRefused = errors.New("holder refused")
	errHolderUnseen  = errors.New("holder cannot be seen")
)

// leastTTL is the shortest time to live of a session.
const leastTTL = 100 * time.Millisecond

// ttlOf reads a time to live.
func ttlOf(field, text string) (time.Duration, error) {
	ttl, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, invalid("%s: %q is not a time, as 30s, 5m or 1h30m", field, text)
	case ttl < leastTTL || ttl > lease.MaxTTL:
		return 0, invalid("%s: %s is not between %v and %v", field, text, leastTTL, lease.MaxTTL)
	}
	return ttl, nil
}

// holderOf is the holder that a request is for.
func (s *Server) holderOf(ctx context.Context, in api.Holder, owner string) (lease.Holder, error) {
	h := lease.Holder{Kind: lease.Manual, Name: in.Name, Owner: owner}
	switch in.Kind {
	case "", api.HolderManual:
	case api.HolderProcess:
		h.Kind = lease.Process
	case api.HolderSession:
		h.Kind = lease.Session
	default:
		return h, invalid("body.holder.kind: %q is none of %s, %s and %s", in.Kind, api.HolderProcess, api.HolderSession, api.HolderManual)
	}
	switch {
	case h.Kind == lease.Process && in.PID == 0:
		return h, invalid("body.holder.pid: say which process is to hold")
	case h.Kind != lease.Process && in.PID != 0:
		return h, invalid("body.holder.pid: a pid is for kind %s", api.HolderProcess)
	case h.Kind == lease.Session && in.TTL == "":
		return h, invalid("body.holder.ttl: say how long the session lives unless it is renewed, as 30s")
	case h.Kind != lease.Session && in.TTL != "":
		return h, invalid("body.holder.ttl: a time to live is for kind %s", api.HolderSession)
	}
	var err error
	switch h.Kind {
	case lease.Session:
		h.TTL, err = ttlOf("body.holder.ttl", in.TTL)
	case lease.Process:
		if h.Identity, err = identityFor(ctx, in.PID); err == nil && h.Name == "" {
			h.Name = proc.Name(h.Identity.PID)
		}
	}
	return h, err
}

// identityFor finds out which process the caller of a request means by a pid,
// which is as it sees it. It has to be one of its own user, unless that is root.
func identityFor(ctx context.Context, pid int) (id lease.Identity, err error) {
	if id.Namespace, err = proc.OwnNamespace(); err != nil {
		return id, fmt.Errorf("%w: the daemon cannot tell which process has pid %d: %w", errHolderUnseen, pid, err)
	}
	caller := access.From(ctx)
	switch {
	case caller.UID == access.NoUID:
		return id, fmt.Errorf("%w: who calls over the network is on another machine for all that the daemon knows", errHolderUnseen)
	case caller.PID == 0:
		return id, fmt.Errorf("%w: the caller is in a pid namespace that the daemon does not see", errHolderUnseen)
	}
	here, err := proc.Within(caller.PID, pid)
	if errors.Is(err, proc.ErrGone) {
		return id, fmt.Errorf("%w: there is no process %d", errHolderRefused, pid)
	}
	if err != nil {
		return id, fmt.Errorf("%w: pid %d is of a pid namespace that the daemon cannot look into: %w", errHolderUnseen, pid, err)
	}
	id.Identity, err = proc.Identify(here)
	var real, saved int
	if err == nil {
		real, saved, err = proc.Users(here)
	}
	// What was read is that process' if it has the pid still.
	var handle *proc.Process
	if err == nil {
		if handle, err = proc.Open(id.Identity); err == nil {
			err = handle.Close()
		}
	}
	switch {
	case errors.Is(err, proc.ErrGone):
		return id, fmt.Errorf("%w: there is no process %d, or it has ended", errHolderRefused, pid)
	case err != nil:
		return id, err
	case caller.UID != 0 && caller.UID != real && caller.UID != saved:
		return id, fmt.Errorf("%w: process %d is of user %d, and the caller is user %d: name a process of its own", errHolderRefused, pid, real, caller.UID)
	}
	return id, nil
}
