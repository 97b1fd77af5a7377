package elsewhere

import (
	"context"
	"net"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// greeter is a service of gRPC's own, which answers with the name of its caller
// in a header. It has a unary method and a streaming one.
type greeter struct {
	health.UnimplementedHealthServer
}

func callerOf(ctx context.Context) metadata.MD {
	p, _ := lanyard.PrincipalFrom(ctx)
	md, _ := metadata.FromIncomingContext(ctx)
	seen := "no"
	if len(md.Get("authorization")) > 0 {
		seen = "yes"
	}
	return metadata.Pairs("caller", p.Owner.Subject, "key-id", p.KeyID, "saw-key", seen, "ip", lanyard.RequestFrom(ctx).IP)
}

func (greeter) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	return new(health.HealthCheckResponse), grpc.SetHeader(ctx, callerOf(ctx))
}

func (greeter) Watch(_ *health.HealthCheckRequest, s health.Health_WatchServer) error {
	if err := s.SetHeader(callerOf(s.Context())); err != nil {
		return err
	}
	return s.Send(new(health.HealthCheckResponse))
}

// dial serves w's greeter and returns a client of it.
func dial(t *testing.T, w *world, listener net.Listener, dialer func(context.Context, string) (net.Conn, error)) health.HealthClient {
	t.Helper()
	g, err := newKeyGuard(w.keys, map[string][]string{
		"/grpc.health.v1.Health/Check": {"read"},
		"/grpc.health.v1.Health/Watch": {"read"},
	})
	ok(t, err)
	server := newServer(g)
	health.RegisterHealthServer(server, greeter{})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(),
		grpc.WithContextDialer(dialer), grpc.WithTransportCredentials(insecure.NewCredentials()))
	ok(t, err)
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		ok(t, <-ended)
	})
	return health.NewHealthClient(conn)
}

func dialBuffer(t *testing.T, w *world) health.HealthClient {
	listener := bufconn.Listen(1 << 16)
	return dial(t, w, listener, func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })
}

// both calls a unary and a streaming method.
func both(ctx context.Context, client health.HealthClient) map[string]func() (metadata.MD, error) {
	return map[string]func() (metadata.MD, error){
		"unary": func() (header metadata.MD, err error) {
			_, err = client.Check(ctx, new(health.HealthCheckRequest), grpc.Header(&header))
			return header, err
		},
		"stream": func() (metadata.MD, error) {
			s, err := client.Watch(ctx, new(health.HealthCheckRequest))
			if err != nil {
				return nil, err
			}
			if _, err := s.Recv(); err != nil {
				return nil, err
			}
			return s.Header()
		},
	}
}

func authorized(t *testing.T, values ...string) context.Context {
	return metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": values})
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	client := dialBuffer(t, w)
	for _, scheme := range []string{"Bearer ", "bearer "} {
		for name, call := range both(authorized(t, scheme+w.good), client) {
			header, err := call()
			if err != nil || header.Get("caller")[0] != "ana" || header.Get("key-id")[0] != w.goodID || header.Get("saw-key")[0] != "no" {
				t.Errorf("%s with %q = %v, %v, want ana's call without the key", name, scheme, header, err)
			}
		}
	}
	refused := status.New(codes.Unauthenticated, "send a valid API key").Err().Error()
	for what, values := range map[string][]string{
		"unknown": {"Bearer " + stranger(t)}, "wrong secret": {"Bearer " + w.good[:14] + w.other[14:]},
		"deleted": {"Bearer " + w.deleted}, "of a deactivated user": {"Bearer " + w.deactivated},
		"malformed": {"Bearer aic_x"}, "none": nil, "empty": {""}, "Basic": {"Basic " + w.good},
		"two": {"Bearer " + w.good, "Bearer " + w.good},
	} {
		for name, call := range both(authorized(t, values...), client) {
			if _, err := call(); err == nil || err.Error() != refused {
				t.Errorf("%s with a key that is %s = %v, want %v", name, what, err, refused)
			}
		}
	}
	for name, call := range both(authorized(t, "Bearer "+w.bare), client) {
		if _, err := call(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s with a key without the scope = %v, want PermissionDenied", name, err)
		}
	}
	if _, err := client.List(authorized(t, "Bearer "+w.good), new(health.HealthListRequest)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a method that is not listed = %v, want PermissionDenied", err)
	}
	ok(t, w.keys.Close(t.Context()))
	for name, call := range both(authorized(t, "Bearer "+w.good), client) {
		if _, err := call(); status.Code(err) != codes.Unavailable {
			t.Errorf("%s while keys cannot be verified = %v, want Unavailable", name, err)
		}
	}
}

func TestGRPCRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *apikey.Options) { o.Rate, o.Burst = 0.01, 1 })
	client := dialBuffer(t, w)
	ctx := authorized(t, "Bearer "+w.good)
	_, err := client.Check(ctx, new(health.HealthCheckRequest))
	ok(t, err)
	for name, call := range both(ctx, client) {
		_, err := call()
		s := status.Convert(err)
		if s.Code() != codes.ResourceExhausted || len(s.Details()) != 1 {
			t.Fatalf("%s with a busy key = %v, want ResourceExhausted with a detail", name, err)
		}
		retry, is := s.Details()[0].(*errdetails.RetryInfo)
		if !is || retry.GetRetryDelay().AsDuration().Seconds() < 90 {
			t.Errorf("%s with a busy key has the detail %v, want how long to wait", name, s.Details()[0])
		}
	}
}

// The networks of a policy are asked of the connection's own address.
func TestGRPCFromWhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	ok(t, err)
	client := dial(t, w, listener, func(ctx context.Context, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	})
	for name, call := range both(authorized(t, "Bearer "+w.good), client) {
		if header, err := call(); err != nil || header.Get("ip")[0] != "127.0.0.1" {
			t.Errorf("%s from 127.0.0.1 = %v, %v", name, header, err)
		}
	}
	// A connection without an address is from nowhere.
	for name, call := range both(authorized(t, "Bearer "+w.good), dialBuffer(t, w)) {
		if _, err := call(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s from nowhere = %v, want Unauthenticated", name, err)
		}
	}
}

func TestGuardRefusesAnUnknownScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if _, err := newKeyGuard(w.keys, map[string][]string{"/a/B": {"raed"}}); err == nil {
		t.Error("a scope that no key can have = nil, want an error")
	}
}
