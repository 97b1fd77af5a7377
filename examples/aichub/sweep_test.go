package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store/memory"
)

// A key that is about to expire makes one line for its owner, within the hour.
func TestSweepWarnsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newOutput()
		logger := slog.New(slog.NewJSONHandler(log, nil))
		st := memory.New()
		keys, err := apikey.NewService(st, &apikey.Options{OnEvent: logEvents(logger)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = keys.Create(t.Context(), lanyard.Owner{Subject: "ana"}, apikey.CreateRequest{Name: "ci", ExpiresAt: time.Now().Add(48 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		stop := startSweep(t.Context(), keys, st, logger)
		warnings := func() int { return strings.Count(log.String(), `"action":"api_key.expiring"`) }
		<-time.After(23*time.Hour + time.Minute)
		synctest.Wait()
		if n := warnings(); n != 0 {
			t.Errorf("%d warnings more than a day before the end, want none", n)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		if n := warnings(); n != 1 || !strings.Contains(log.String(), `"mail_owner":true`) {
			t.Errorf("%d warnings a day before the end, want one for the owner: %s", n, log)
		}
		<-time.After(6 * time.Hour)
		synctest.Wait()
		if n := warnings(); n != 1 {
			t.Errorf("%d warnings after that, want the one", n)
		}
		for name, stop := range map[string]func(context.Context) error{"sweep": stop, "keys": keys.Close} {
			if err := stop(context.Background()); err != nil {
				t.Errorf("closing %s = %v", name, err)
			}
		}
	})
}
