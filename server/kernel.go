package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/lease"
	"berth/sysctl"
)

// Kernel is what the handlers need of the kernel's settings of ports. A
// sysctl.Kernel is one.
type Kernel interface {
	Ports() (sysctl.Ports, error)
	Spare(list []sysctl.Interval) (sysctl.Ports, error)
}

var _ Kernel = sysctl.Kernel{}

func (s *Server) routeKernel(routes huma.API) {
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "fix-kernel", Method: http.MethodPost, Path: "/v1/health/fix",
		Summary: "Have the kernel leave the ports of ranges alone; answers how its settings were and are",
	}, s.fixKernel)
}

// kernelPorts is the kernel's settings, where they can be read.
type kernelPorts struct {
	sysctl.Ports
	known bool
}

// kernel reads the kernel's settings.
func (s *Server) kernel() kernelPorts {
	if s.opts.Kernel == nil {
		return kernelPorts{}
	}
	ports, err := s.opts.Kernel.Ports()
	if err != nil {
		s.log.Warn("the kernel's settings of ports cannot be read", "error", err)
		return kernelPorts{}
	}
	return kernelPorts{ports, true}
}

// privileged is the part of a range that the daemon may not bind; ok is false
// where there is none.
func (k kernelPorts) privileged(r lease.Range) (part sysctl.Interval, ok bool) {
	part = sysctl.Interval{First: r.Min, Last: min(r.Max, k.Unprivileged-1)}
	return part, k.known && !k.BindsAll && !r.Ephemeral && part.First <= part.Last
}

// exposed are the ports of a range that the kernel may take.
func (k kernelPorts) exposed(r lease.Range) []sysctl.Interval {
	if !k.known || r.Ephemeral {
		return nil
	}
	return k.Exposed(r.Min, r.Max)
}

// warnings say what may keep the ports of a range from being bound.
func (k kernelPorts) warnings(r lease.Range) (all []string) {
	if exposed := k.exposed(r); len(exposed) > 0 {
		all = append(all, fmt.Sprintf("range %s: the kernel may take %s for outgoing connections (%s is %v): berth doctor tells how to keep them from it",
			r.Name, sysctl.FormatList(exposed), sysctl.LocalRange, k.Local))
	}
	if part, ok := k.privileged(r); ok {
		all = append(all, fmt.Sprintf("range %s: the daemon (uid %d) may not bind %v, since any user may only from %d on (%s): serve as root, or with CAP_NET_BIND_SERVICE",
			r.Name, os.Geteuid(), part, k.Unprivileged, sysctl.Unprivileged))
	}
	return all
}

// kernelHealth tells how the kernel's settings are for the ranges that there are;
// nil where they cannot be read.
func (s *Server) kernelHealth() *api.KernelPorts {
	k := s.kernel()
	if !k.known {
		return nil
	}
	out := &api.KernelPorts{
		LocalMin: k.Local.First, LocalMax: k.Local.Last, Unprivileged: k.Unprivileged,
		Reserved: sysctl.FormatList(k.Reserved), Exposed: []api.KernelRange{}, Privileged: []api.KernelRange{},
	}
	var wanted []sysctl.Interval
	for _, r := range s.opts.Leases.Ranges("*") {
		if exposed := k.exposed(r.Range); len(exposed) > 0 {
			wanted = append(wanted, exposed...)
			out.Exposed = append(out.Exposed, api.KernelRange{Range: r.Name, Protocol: string(r.Protocol), Ports: sysctl.FormatList(exposed)})
		}
		if part, ok := k.privileged(r.Range); ok {
			out.Privileged = append(out.Privileged, api.KernelRange{Range: r.Name, Protocol: string(r.Protocol), Ports: part.String()})
		}
	}
	if len(wanted) > 0 {
		out.Wanted = sysctl.FormatList(sysctl.Merge(k.Reserved, wanted))
	}
	return out
}

func (s *Server) fixKernel(context.Context, *empty) (*reply[api.KernelFixed], error) {
	before := s.kernelHealth()
	if before == nil {
		return nil, errNoKernel
	}
	if before.Wanted != "" {
		// What is there already is among it, and is read again there.
		wanted, err := sysctl.ParseList(before.Wanted)
		if err != nil {
			return nil, err
		}
		if _, err := s.opts.Kernel.Spare(wanted); err != nil {
			return nil, err
		}
	}
	now := s.kernelHealth()
	if now == nil {
		return nil, errNoKernel
	}
	if !slices.Equal(before.Exposed, now.Exposed) {
		s.log.Info("the kernel leaves ports of ranges alone", "setting", sysctl.Reserved, "before", before.Reserved, "now", now.Reserved)
	}
	return &reply[api.KernelFixed]{api.KernelFixed{Before: *before, Now: *now}}, nil
}
