"""The paper's data, fetched and checked; see config/sources.tsv.

INPUTS   the network
OUTPUTS  resources/<archive>, data/{music,noise,room,microphone}/files.csv
"""
