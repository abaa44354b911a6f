"""stub"""



def routes():
    return []


def error_page(request, error):
    return None
