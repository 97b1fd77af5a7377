package elsewhere

import (
	"context"
	"errors"
	"net"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// keyGuard lets callers in who have a key with the scopes of the method.
type keyGuard struct {
	keys  *apikey.Service
	needs map[string]apikey.ScopeSet // by method, as "/hub.v1.Reports/List"
}

// newKeyGuard takes the scopes of each method. One that is not listed is closed.
func newKeyGuard(keys *apikey.Service, scopes map[string][]string) (*keyGuard, error) {
	g := &keyGuard{keys: keys, needs: map[string]apikey.ScopeSet{}}
	for method, names := range scopes {
		need, err := keys.ScopeSet(names...)
		if err != nil {
			return nil, err
		}
		g.needs[method] = need
	}
	return g, nil
}

// admit returns the context of a call that may go on.
func (g *keyGuard) admit(ctx context.Context, method string) (context.Context, error) {
	need, listed := g.needs[method]
	if !listed {
		return nil, status.Error(codes.PermissionDenied, "this method is not open to API keys")
	}
	md, _ := metadata.FromIncomingContext(ctx)
	from := lanyard.Request{IP: peerIP(ctx), UserAgent: strings.Join(md.Get("user-agent"), " ")}
	p, err := g.keys.VerifyCall(ctx, bearer(md.Get("authorization")), apikey.Call{Scopes: need, From: from})
	if err != nil {
		return nil, keyStatus(err)
	}
	md = md.Copy()
	md.Delete("authorization") // the method needs no key, and cannot leak one
	ctx = metadata.NewIncomingContext(ctx, md)
	return lanyard.WithPrincipal(lanyard.WithRequest(ctx, from), p), nil
}

// peerIP is where the connection comes from. Behind a proxy that is the proxy:
// read the header that yours sets, and no other.
func peerIP(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	ip, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return ""
	}
	return ip
}

// keyStatus is the answer to a caller who may not go on.
func keyStatus(err error) error {
	var busy *apikey.RateLimitError
	switch {
	case errors.As(err, &busy):
		s := status.New(codes.ResourceExhausted, "the API key is used too often")
		if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(busy.RetryAfter)}); err == nil {
			s = detailed
		}
		return s.Err()
	case errors.Is(err, lanyard.ErrUnauthenticated):
		return status.Error(codes.Unauthenticated, "send a valid API key")
	case errors.Is(err, lanyard.ErrForbidden):
		return status.Error(codes.PermissionDenied, "the API key lacks a scope")
	}
	return status.Error(codes.Unavailable, "API keys cannot be verified now") // which says nothing about the key
}

func (g *keyGuard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (g *keyGuard) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := g.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(srv, guardedStream{stream, ctx})
}

//nolint:containedctx // a stream's own, as grpc.ServerStream has it
type guardedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s guardedStream) Context() context.Context { return s.ctx }

// newServer is a gRPC server behind the guard.
func newServer(g *keyGuard) *grpc.Server {
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(g.unary), grpc.ChainStreamInterceptor(g.stream))
	return server
}
