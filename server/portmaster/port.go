package portmaster

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/lease"
	"berth/store"
)

// Port is a port that is allocated.
type Port struct {
	Service string `json:"service"`
	Name    string `json:"name"` // of the service's instance, or of whoever holds the port otherwise
	Port    int    `json:"port"`
	Created string `json:"created"`
}

func (a *Adapter) routePorts(routes huma.API) {
	const one = "/v1/services/{service}/ports/{port}"
	route(a, routes, access.Read, huma.Operation{
		OperationID: "portmaster-list-ports", Method: http.MethodGet, Path: "/v1/services/{service}/ports",
	}, a.listPorts)
	route(a, routes, access.Read, huma.Operation{
		OperationID: "portmaster-get-port", Method: http.MethodGet, Path: one,
	}, a.getPort)
	route(a, routes, access.Lease, huma.Operation{
		OperationID: "portmaster-delete-port", Method: http.MethodDelete, Path: one,
	}, a.deletePort)
}

// OfPort is a port's, or the name of its instance.
type OfPort struct {
	OfService
	Port string `path:"port"` // a number, or the name of an instance
}

// portOf is a lease as a port that is allocated.
func (a *Adapter) portOf(service string, l lease.Lease) Port {
	p := Port{Service: service, Name: l.Holder.String(), Port: l.Port, Created: created(l.Since)}
	if n, ok := a.notes.of(l.ID); ok && n.Secret == "" {
		p.Created = created(n.Created)
	}
	return p
}

// allocated are the leases of a service that are no offers, by their ports. One
// that is just being made is not there yet.
func (a *Adapter) allocated(service string) ([]lease.Lease, error) {
	r, err := a.service(service)
	if err != nil {
		return nil, err
	}
	var leases []lease.Lease
	for _, active := range r.Active {
		if _, err := a.opts.Leases.Lease(active.Lease.ID); err == nil && !a.isOffer(active.Lease) {
			leases = append(leases, active.Lease)
		}
	}
	return leases, nil
}

// find finds a lease by its port where that is a number, else by the name of its
// holder.
func (a *Adapter) find(in *OfPort) (lease.Lease, error) {
	leases, err := a.allocated(in.Service)
	if err != nil {
		return lease.Lease{}, err
	}
	isNumber := strings.Trim(in.Port, "0123456789") == ""
	number, _ := strconv.Atoi(in.Port)
	for _, l := range leases {
		if isNumber && l.Port == number || !isNumber && l.Holder.String() == in.Port {
			return l, nil
		}
	}
	return lease.Lease{}, notFound()
}

func (a *Adapter) listPorts(_ context.Context, in *OfService) (*reply[[]Port], error) {
	leases, err := a.allocated(in.Service)
	if err != nil {
		return nil, err
	}
	ports := make([]Port, 0, len(leases))
	for _, l := range leases {
		ports = append(ports, a.portOf(in.Service, l))
	}
	return &reply[[]Port]{ports}, nil
}

func (a *Adapter) getPort(_ context.Context, in *OfPort) (*reply[Port], error) {
	l, err := a.find(in)
	if err != nil {
		return nil, err
	}
	return &reply[Port]{a.portOf(in.Service, l)}, nil
}

// deletePort releases a manual lease. Other holders' end when those do.
func (a *Adapter) deletePort(ctx context.Context, in *OfPort) (*empty, error) {
	if err := a.enter(ctx); err != nil {
		return nil, err
	}
	defer a.leave()
	l, err := a.find(in)
	if err != nil {
		return nil, err
	}
	if l.Holder.Kind != lease.Manual {
		return nil, wrong("port", "Port %d is leased by %s, and comes back when that ends.", l.Port, l.Holder)
	}
	if err := a.opts.Owns(ctx, l); err != nil {
		return nil, err
	}
	var b store.Batch
	if _, ok := a.notes.of(l.ID); ok {
		b.Delete(noteKey(l.ID))
	}
	return nil, a.end(ctx, []lease.ID{l.ID}, b)
}
