def rows_of(request, response):
    return [1, 2]


def is_internal(user):
    return user.username == "robot"
