package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/launcher"
	"berth/lease"
	"berth/proc"
	"berth/sockdiag"
)

func (s *Server) routePorts(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "get-port", Method: http.MethodGet, Path: "/v1/ports/{protocol}/{port}",
		Summary: "Tell who has a port, be it of a range or not: its lease, and what is bound to it",
	}, s.getPort)
}

// mostSockets is the most sockets of a port that are told of: a server may have
// thousands of connections.
const mostSockets = 64

func (s *Server) getPort(_ context.Context, in *struct {
	Protocol string `path:"protocol" enum:"tcp,udp" doc:"of the port"`
	Port     int    `path:"port" minimum:"1" maximum:"65535" example:"8080" doc:"its number"`
}) (*reply[api.PortWho], error) {
	protocol, number := lease.Protocol(in.Protocol), in.Port
	known := s.opts.Leases.Port(protocol, number)
	out := api.PortWho{
		Protocol: string(protocol), Port: number, State: string(known.State), Static: known.Static,
		Sockets: []api.PortSocket{}, Unseen: []string{},
	}
	if known.Range != nil {
		out.Range = known.Range.Name
	}
	if a := known.SetAside; a != nil {
		out.SetAside = &api.SetAsidePort{Port: a.Port, Reason: a.Reason, PID: a.PID, Command: a.Command, Since: a.Since}
	}
	if known.Lease != nil {
		l := apiLease(*known.Lease)
		out.Lease = &l
		used, err := s.portUse([]lease.RangeStatus{{Active: []lease.ActivePort{{Port: number, Lease: *known.Lease}}}})
		if err != nil {
			return nil, err
		}
		u := used[known.Lease.ID]
		out.PID = cmp.Or(u.pid, known.Lease.Holder.Identity.PID)
		if known.State == lease.PortLeased {
			out.State = cmp.Or(string(u.state), string(launcher.PortLeased))
		}
	}
	bound(&out)
	if known.State == lease.PortLeased && known.Lease.Holder.Identity.PID != 0 && holderListens(out) {
		out.State = string(launcher.PortListening)
	}
	return &reply[api.PortWho]{out}, nil
}

// holderListens reports whether the holder of a port's lease, or a process that
// comes from it, has a socket that listens on the port.
func holderListens(who api.PortWho) bool {
	listens := make(map[int]bool)
	for _, socket := range who.Sockets {
		for _, o := range socket.Owners {
			listens[o.PID] = socket.State == string(sockdiag.Listening) || who.Protocol == string(lease.UDP)
		}
	}
	if len(listens) == 0 {
		return false
	}
	tree, err := proc.Snapshot()
	if err != nil {
		return listens[who.PID]
	}
	return slices.ContainsFunc(tree.Of(who.PID), func(pid int) bool { return listens[pid] })
}

// bound adds to what is told of a port who is bound to it, and what of that
// cannot be read.
func bound(out *api.PortWho) {
	sockets, err := sockdiag.OnPort(out.Protocol, out.Port)
	if err == nil && len(sockets) == 0 {
		sockets, err = sockdiag.AllOnPort(out.Protocol, out.Port)
	}
	if err != nil {
		out.Unseen = append(out.Unseen, fmt.Sprintf("the sockets on it cannot be listed: %v", err))
		return
	}
	if n := len(sockets); n > mostSockets {
		out.More = n - mostSockets
		sockets = sockets[:mostSockets]
	}
	inodes := make([]uint64, len(sockets))
	for i, socket := range sockets {
		inodes[i] = socket.Inode
	}
	owners, err := sockdiag.Owners(inodes...)
	if err != nil {
		out.Unseen = append(out.Unseen, fmt.Sprintf("whose the sockets are cannot be read: %v", err))
	}
	hidden := 0
	for _, socket := range sockets {
		one := api.PortSocket{
			Address: socket.Local.String(), V6Only: socket.V6Only, State: string(socket.State),
			UID: int(socket.UID), User: userName(socket.UID), Owners: []api.PortOwner{},
		}
		for _, o := range owners[socket.Inode] {
			owner := api.PortOwner{PID: o.PID, Command: o.Command, Proxy: o.IsProxy()}
			owner.StartedAt, _ = proc.StartedAt(o.PID) // it may have ended since
			one.Owners = append(one.Owners, owner)
		}
		if len(one.Owners) == 0 {
			hidden++
		}
		out.Sockets = append(out.Sockets, one)
	}
	slices.SortStableFunc(out.Sockets, func(a, b api.PortSocket) int { return cmp.Compare(a.Address, b.Address) })
	if hidden > 0 && err == nil {
		out.Unseen = append(out.Unseen, whyHidden(hidden, len(sockets)))
	}
}

// whyHidden says why nobody is seen to have sockets that there are.
func whyHidden(hidden, all int) string {
	which := fmt.Sprintf("who has %d of the %d sockets", hidden, all)
	if hidden == all {
		which = "who has the socket"
		if all > 1 {
			which = "who has the sockets"
		}
	}
	why := "its process is in another pid namespace, or it is the kernel's own"
	if uid := os.Geteuid(); uid != 0 {
		why = fmt.Sprintf("the daemon, of uid %d, sees its own user's processes only; root's sees all", uid)
	}
	return which + " cannot be seen: " + why
}

// userName is the name of a user, empty where there is none.
func userName(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return u.Username
}
