package server

import (
	"context"
	"net/http"
	"os"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/proc"
)

func (s *Server) routeDaemon(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "get-daemon", Method: http.MethodGet, Path: "/v1/daemon",
		Summary: "Tell about the daemon that answers",
	}, s.daemon)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "stop-daemon", Method: http.MethodPost, Path: "/v1/daemon/stop",
		Summary:       "End the daemon; the processes go on",
		DefaultStatus: http.StatusAccepted,
	}, s.stopDaemon)
}

func (s *Server) daemon(context.Context, *empty) (*reply[api.Daemon], error) {
	rss, err := proc.Memory(os.Getpid())
	if err != nil {
		return nil, err
	}
	return &reply[api.Daemon]{api.Daemon{
		Version:   s.opts.Version,
		PID:       os.Getpid(),
		Home:      s.opts.Home,
		Socket:    s.opts.Socket,
		Listen:    s.opts.Address,
		StartedAt: s.started,
		Processes: s.opts.Processes.Running(),
		RSSBytes:  int64(rss),
	}}, nil
}

func (s *Server) stopDaemon(context.Context, *empty) (*empty, error) {
	s.opts.Stop()
	return nil, nil
}
