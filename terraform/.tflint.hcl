# Every rule of the language; the providers' own rules are theirs to install.
plugin "terraform" {
  enabled = true
  preset  = "all"
}
