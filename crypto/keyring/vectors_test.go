package keyring_test

// What the keys of the files in testdata wrapped, by the key's id.
var (
	plainV1 = map[string]string{
		"6s36mnczrmfvuz44tblduhydvi": "YSrwvEJB31NU7pMjJ+ful7/zJepDGPxXGOxP5spjir/Ub/R6AY/CiU7Fpq0oJFdOaJxGTLD+Ufl9PhXE",
		"fgrw7ug4tal2nl6bvipn54dmli": "QPqUbfBddLyOZ6MA5CpXkaXR9iDBXbk4dO+K1075bQ0HBKeOPqPn6uk+fsIVP9Vz/cOnpzkQZwW4tw0e",
	}

	passphraseV1 = map[string]string{
		"ztyajwefmzgvxusfotqsfqqwbk": "2G9aT8+ugiZX2dSq/xsk60AwURcWBWejGZnXtcjem4tYWDVrVTrbYU368Gjtw3xdcDFDj4FAkR4+wgea",
		"x6k7stwbqsmbmrslytr7k7pqgd": "E1XnNH4CvPJZrQJZQ5vUyXOETyk0aw+ViApw4CZzaXYk6KCby0KlGfIi8vzhiZenNmhAIEjGircxIZOn",
	}
)
