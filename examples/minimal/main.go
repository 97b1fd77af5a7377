// Command minimal is a host application with a lanyard in it and nothing else:
// the lines of the README, whole.
//
//	go run ./examples/minimal
//	curl -H 'X-Demo-User: ana' http://127.0.0.1:8080/account/api/v1/whoami
//
// It keeps lanyard.db and lanyard.keys in the working directory. A server for
// others also wants time limits, TLS and a graceful end; see the quickstart.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/store/sqlite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:8080")
	if err == nil {
		err = run(ctx, listener)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "minimal:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, listener net.Listener) error {
	// A keyring is made once and knowingly. Here that is at the first start.
	_, err := keyring.Create("lanyard.keys", nil)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	mux := http.NewServeMux()
	hostAPI := http.HandlerFunc(hello)

	st, err := sqlite.Open(ctx, "lanyard.db", nil)
	if err != nil {
		return err
	}
	defer st.Close()
	err = st.Migrate(ctx)
	if err != nil {
		return err
	}
	secrets, err := keyring.Open("lanyard.keys", nil)
	if err != nil {
		return err
	}
	sealer, err := crypto.NewSealer(secrets, st, nil)
	if err != nil {
		return err
	}
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: sealer})
	if err != nil {
		return err
	}
	defer keys.Close(context.WithoutCancel(ctx))
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{Providers: catalog.All()})
	if err != nil {
		return err
	}
	h, err := httpadapter.New(httpadapter.Config{
		Identify: whoIs, APIKeys: keys, ProviderTokens: tokens,
		Profiles: profile.NewService(st, &profile.Options{OwnerChanged: keys.Refresh}),
		Logger:   slog.Default(),
	})
	if err != nil {
		return err
	}
	httpadapter.Mount(mux, "/account", h)
	mux.Handle("/api/", httpadapter.RequireKey(keys, nil)(hostAPI))

	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	err = server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// hello is the API that keys open.
func hello(w http.ResponseWriter, r *http.Request) {
	caller, _ := lanyard.PrincipalFrom(r.Context())
	fmt.Fprintf(w, "hello %s\n", caller.Owner.Subject)
}
