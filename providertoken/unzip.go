package providertoken

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
)

// askZipped asks for the one encoding that unzip undoes. net/http does it by
// itself where nobody says so, but then it looks at the first encoding of an
// answer and drops what it says of others.
func askZipped(req *http.Request) {
	if req.Method != http.MethodHead {
		req.Header.Set("Accept-Encoding", "gzip")
	}
}

// unzip undoes what askZipped asked for, if the answer has no other encoding.
func unzip(req *http.Request, res *http.Response) {
	encodings := res.Header.Values("Content-Encoding")
	if req.Method == http.MethodHead || len(encodings) != 1 || !strings.EqualFold(encodings[0], "gzip") {
		return
	}
	res.Header.Del("Content-Encoding")
	res.Header.Del("Content-Length")
	res.ContentLength, res.Uncompressed = -1, true
	res.Body = &unzipped{ReadCloser: res.Body}
}

// unzipped is a zipped body on its way, which is not looked at before it is read.
type unzipped struct {
	io.ReadCloser // as it comes

	plain *gzip.Reader
	err   error
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.plain == nil && u.err == nil {
		u.plain, u.err = gzip.NewReader(u.ReadCloser) // io.EOF where there is no body
	}
	if u.err != nil {
		return 0, u.err
	}
	return u.plain.Read(p)
}
